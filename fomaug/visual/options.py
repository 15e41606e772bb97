"""The options of `animate_clip` and their checks, as keywords, and as the columns of a list of pairs."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, get_args

from fomaug.errors import ArgumentError, MediaError, check_choice, did_you_mean, reason_of
from fomaug.files import TABLE, open_text
from fomaug.options import Crop, FrameChoice, Region, option

Overlay = Literal["keypoints", "flow", "occlusion"]
Face = Literal["auto", "whole"] | tuple[int, int, int, int]


@dataclass(frozen=True)
class AnimateOptions:
    """The options of `animate_clip` and `animate_pairs`.

    Attributes:
        relative: whether the clip's motion is added to the picture's pose; otherwise the picture gets the clip's pose.
        strength: share of the motion; 1 is all of it.
        region: part of the face that moves; all but "all" need a model that names its keypoints.
        reference: frame of the clip that counts as no motion: the one "closest" to the picture's pose, the "first", or
            a number. A driving picture has no such frame, see `fomaug.driving.neutral_like`.
        source_frame: frame of a source that is a video: the one "closest" in pose to a frame of the clip, the "first",
            or a number.
        face: part of the picture that is animated: "auto" for the face, or the whole picture where the face fills it,
            where none is found, and for models that cannot find faces; "whole"; or the box of the face, (x, y, width,
            height) in pixels. A part is blended back into the unchanged picture.
        crop: part of the clip that drives: a fixed square around the "face", or the whole "frame".
        compare: whether the result shows source, driving frame and animated frame side by side.
        overlay: "keypoints", "flow" or "occlusion" to draw over the result, or None.
        audio: whether an `.mp4` has the clip's sound.
        max_frames: largest number of frames of the clip; None for all.
        max_pixels: largest number of pixels of a picture; larger pictures are an error.
        batch_size: number of frames in a pass through the model; it is lower for large pictures.
    """

    relative: bool = option(True, "Add the clip's motion to the source, or copy the clip's pose.", off="absolute")
    strength: float = option(1.0, "Share of the motion.")
    region: Region = option("all", "Part of the face that moves.")
    reference: FrameChoice = option(
        "closest", "Frame of the clip that counts as no motion: closest (in pose to the source), first or a number."
    )
    source_frame: FrameChoice = option(
        "closest", "Frame of a source video that is animated: closest (in pose to the clip), first or a number."
    )
    face: Face = option("auto", "Part of the picture that is animated: auto, whole or X,Y,WIDTH,HEIGHT.")
    crop: Crop = option("face", "Part of the clip that drives: a square around the face, or the whole frame.")
    compare: bool = option(False, "Show source, driving frame and result side by side.", off="")
    overlay: Overlay | None = option(None, "Output of the networks that is drawn over the result.")
    audio: bool = option(True, "Copy the clip's sound to an .mp4 file.")
    max_frames: int | None = option(None, "Largest number of frames of the clip.", least=1)
    max_pixels: int = option(64_000_000, "Largest number of pixels of a picture; larger ones fail.")
    batch_size: int = option(8, "Number of frames in a batch of the model.", least=1)

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
        if not math.isfinite(self.strength) or self.strength < 0:
            raise ArgumentError(f"strength must be 0 or more, got {self.strength}")
        for name, count in (("batch_size", self.batch_size), ("max_frames", self.max_frames)):
            if count is not None and count < 1:
                raise ArgumentError(f"{name} must be 1 or more, got {count}")


class AnimateKeywords(TypedDict, total=False):
    """The fields of `AnimateOptions` as keyword arguments."""

    relative: bool
    strength: float
    region: Region
    reference: FrameChoice
    source_frame: FrameChoice
    face: Face
    crop: Crop
    compare: bool
    overlay: Overlay | None
    audio: bool
    max_frames: int | None
    max_pixels: int
    batch_size: int


def make_options(options: Mapping[str, Any]) -> AnimateOptions:
    """Make options from keyword arguments, or raise `ArgumentError` for an unknown name."""
    known = AnimateOptions.__dataclass_fields__
    for name in options:
        if name not in known:
            raise ArgumentError(f"animate has no option {name!r}{did_you_mean(name, known)}")
    return AnimateOptions(**options)


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


_WORDS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NEAR: Final = 0.8  # similarity to a known column from which an unknown one counts as misspelt


@dataclass(frozen=True)
class Pair:
    """A line of the list.

    Attributes:
        source: path of a picture or video.
        driving: path of a clip or picture.
        out: path of the result in the folder of results; empty for a name made from source and driving.
        options: fields of `AnimateOptions` that differ from those of the run.
    """

    source: Path
    driving: Path
    out: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def read_pairs(path: str | Path, *, root: str | Path | None = None) -> list[Pair]:
    """Read a CSV file with the columns `source` and `driving`.

    More columns are allowed: `out`, and any of strength, region, reference, source_frame, face, crop, relative and
    max_frames, empty where the line has the value of the run. Other columns are ignored.

    Args:
        path: path of the list.
        root: folder that the paths are relative to; None for the folder of the list.

    Raises:
        MediaError: the list cannot be read.
        ArgumentError: a column is missing or a value is wrong; the message names the line.
    """
    path = Path(path)
    try:
        with open_text(path, TABLE, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            _check_columns(path, reader.fieldnames or ())
            pairs = list(_pairs(path, reader, Path(root) if root is not None else path.parent))
    except OSError as error:
        raise MediaError(f"the list of pairs {path} cannot be read ({reason_of(error)})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise MediaError(f"the list of pairs {path} is not a CSV file in UTF-8 ({error})") from error
    if not pairs:
        raise ArgumentError(f"the list of pairs {path} has no rows")
    return pairs


def _pairs(path: Path, rows: Iterable[dict[str, str | None]], root: Path) -> Iterator[Pair]:
    for line, row in enumerate(rows, 2):
        cells = {name: text.strip() for name, text in row.items() if isinstance(text, str) and name}
        if not any(cells.values()):
            continue
        try:
            if not cells.get("source") or not cells.get("driving"):
                raise ArgumentError("both source and driving must be given")
            options = {name: read(cells[name]) for name, read in _READERS.items() if cells.get(name)}
            AnimateOptions(**options)
        except (ArgumentError, ValueError) as error:
            raise ArgumentError(f"{path}, line {line}: {error}") from error
        yield Pair(root / cells["source"], root / cells["driving"], cells.get("out", ""), options)


def _check_columns(path: Path, columns: Iterable[str]) -> None:
    known = ("source", "driving", "out", *_READERS)
    for name in columns:
        near = difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)
        if near and name not in known:
            raise ArgumentError(f"{path} has a column {name!r}; did you mean {near[0]!r}?")
    if missing := {"source", "driving"} - set(columns):
        found = ", ".join(map(repr, columns)) or "none"
        raise ArgumentError(f"{path} needs the columns source and driving, and lacks {' and '.join(missing)}: {found}")


def _choice(text: str) -> str | int:
    return int(text) if text.isdigit() else text


def _truth(text: str) -> bool:
    if text.lower() not in _WORDS:
        raise ArgumentError(f"relative must be true or false, got {text!r}")
    return _WORDS[text.lower()]


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "strength": float,
    "region": str,
    "reference": _choice,
    "source_frame": _choice,
    "face": parse_face,
    "crop": str,
    "relative": _truth,
    "max_frames": int,
}
