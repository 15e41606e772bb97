"""What may be asked of an animated clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from fomaug.errors import ArgumentError, check_choice
from fomaug.geometry import Region

Overlay = Literal["keypoints", "flow", "occlusion"]
Crop = Literal["face", "frame"]
Face = Literal["auto", "whole"] | tuple[int, int, int, int]
Choice = Literal["closest", "first"] | int


@dataclass(frozen=True)
class AnimateOptions:
    """How a clip animates a picture.

    Attributes:
        relative: add the clip's motion to the picture's pose; otherwise take the clip's pose.
        strength: share of the motion; 1 is all of it.
        region: part of the face that moves; all but "all" need a model that names its keypoints.
        reference: frame of the clip that counts as no motion: the one "closest" to the picture's pose, the "first", or
            a number. A driving picture has no such frame, see `fomaug.driving.neutral_like`.
        source_frame: where the source is a video: its frame that is "closest" in pose to a frame of the clip, its
            "first", or a number.
        face: part of the picture that is animated: "auto" looks for the face, and takes the whole where it fills the
            picture, where none is found, and for models that cannot look; "whole"; or the box of the face, (x, y,
            width, height) in pixels. What is not the whole is blended back, and all around it stays as it is.
        crop: a fixed square around the face of the clip, or its whole frame.
        compare: put source, driving frame and result side by side.
        overlay: draw what the networks see over the result.
        audio: let the clip's sound be heard with an `.mp4`.
        max_frames: use no more of the clip.
        max_pixels: larger pictures are not read.
        batch_size: frames that go through the model together; fewer for large pictures.
    """

    relative: bool = True
    strength: float = 1.0
    region: Region = "all"
    reference: Choice = "closest"
    source_frame: Choice = "closest"
    face: Face = "auto"
    crop: Crop = "face"
    compare: bool = False
    overlay: Overlay | None = None
    audio: bool = True
    max_frames: int | None = None
    max_pixels: int = 64_000_000
    batch_size: int = 8

    def __post_init__(self) -> None:
        check_choice("region", self.region, get_args(Region))
        check_choice("crop", self.crop, get_args(Crop))
        if self.overlay is not None:
            check_choice("overlay", self.overlay, get_args(Overlay))
        for name, frame in (("reference", self.reference), ("source_frame", self.source_frame)):
            if frame not in ("closest", "first") and (not isinstance(frame, int) or frame < 0):
                raise ArgumentError(f"{name} must be closest, first or a frame number, got {frame!r}")
        if isinstance(self.face, str):
            check_choice("face", self.face, ("auto", "whole"))
        elif len(self.face) != 4 or min(self.face[2:]) < 1:
            raise ArgumentError(f"face must be auto, whole or (x, y, width, height) in pixels, got {self.face!r}")
        if not np.isfinite(self.strength) or self.strength < 0:
            raise ArgumentError(f"strength must be 0 or more, got {self.strength}")
        for name, count in (("batch_size", self.batch_size), ("max_frames", self.max_frames)):
            if count is not None and count < 1:
                raise ArgumentError(f"{name} must be 1 or more, got {count}")


def parse_face(text: str) -> Face:
    """Read auto, whole or X,Y,WIDTH,HEIGHT.

    >>> parse_face("10, 20, 64, 64")
    (10, 20, 64, 64)
    """
    if text in ("auto", "whole"):
        return "auto" if text == "auto" else "whole"
    parts = text.replace(",", " ").split()
    if len(parts) != 4 or not all(part.lstrip("-").isdigit() for part in parts):
        raise ArgumentError(f"face must be auto, whole or X,Y,WIDTH,HEIGHT in pixels, got {text!r}")
    x, y, width, height = map(int, parts)
    return x, y, width, height
