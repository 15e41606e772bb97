"""What may be asked of an animated clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from fomaug._errors import ArgumentError, did_you_mean

Overlay = Literal["keypoints", "flow", "occlusion"]
Crop = Literal["face", "frame"]


@dataclass(frozen=True)
class AnimateOptions:
    """How a clip animates a picture.

    Attributes:
        relative: add the clip's motion to the picture's pose; otherwise take the clip's pose.
        strength: share of the motion; 1 is all of it.
        reference: frame of the clip that counts as no motion: the one "closest" to the picture's pose, the "first", or
            a number.
        crop: a fixed square around the face of the clip, or its whole frame.
        compare: put source, driving frame and result side by side.
        overlay: draw what the networks see over the result.
        max_frames: use no more of the clip.
        batch_size: frames that go through the model together.
    """

    relative: bool = True
    strength: float = 1.0
    reference: Literal["closest", "first"] | int = "closest"
    crop: Crop = "face"
    compare: bool = False
    overlay: Overlay | None = None
    max_frames: int | None = None
    batch_size: int = 8

    def __post_init__(self) -> None:
        if self.overlay is not None and self.overlay not in (known := get_args(Overlay)):
            hint = did_you_mean(self.overlay, known)
            raise ArgumentError(f"overlay must be one of {', '.join(known)}, got {self.overlay!r}{hint}")
        if isinstance(self.reference, str) and self.reference not in ("closest", "first"):
            raise ArgumentError(f"reference must be closest, first or a frame number, got {self.reference!r}")
        if not np.isfinite(self.strength) or self.strength < 0:
            raise ArgumentError(f"strength must be 0 or more, got {self.strength}")
        if self.batch_size < 1:
            raise ArgumentError(f"batch_size must be 1 or more, got {self.batch_size}")
