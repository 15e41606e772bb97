"""The settings of a conversion, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from fomaug.errors import ArgumentError, check_choice
from fomaug.options import IncludeSources

CategoryOption = Literal["face", "label"]
PointSource = Literal["auto", "annotations", "model"]


@dataclass(frozen=True)
class ConvertPlan:
    """All settings of one conversion that decide its files.

    Attributes:
        to: name of the format.
        include_sources: whether originals stand beside the copies, and how pictures get there.
        align: side of aligned crops in pixels; None leaves the pictures as they are.
        margin: what is added at each edge of a crop, as a share of its side.
        points: origin of the points that faces are aligned by.
        categories: category of a face in detection formats.
        quality: quality of JPEGs that are encoded anew.
    """

    to: str
    include_sources: IncludeSources = field(
        default="copy",
        metadata={
            "help": "Originals beside the copies: copy all pictures, link all pictures (where no archive holds them), "
            "or none, for the copies alone."
        },
    )
    align: int | None = field(
        default=None, metadata={"help": "Align every face by five points, in a crop of so many pixels a side."}
    )
    margin: float = field(
        default=0.0, metadata={"help": "Share of the crop's side that is added at each edge of an aligned crop."}
    )
    points: PointSource = field(
        default="auto",
        metadata={
            "help": "Points that faces are aligned by: annotated landmarks, the model's keypoints, or annotations if "
            "there are some (auto)."
        },
    )
    categories: CategoryOption = field(
        default="face",
        metadata={"help": "Category of a face in detection formats: face (or that of its annotation), or its label."},
    )
    quality: int = field(default=95, metadata={"help": "Quality of JPEGs that are encoded anew, 1 to 100."})

    def __post_init__(self) -> None:
        for name, kind in _CHOICES.items():
            check_choice(name, getattr(self, name), get_args(kind))
        if not 1 <= self.quality <= 100:
            raise ArgumentError(f"quality must be 1 to 100, got {self.quality}")
        if self.align is None and self.margin:
            raise ArgumentError("margin belongs to aligned crops; give align, the side of the crops in pixels")


_CHOICES: Final[dict[str, Any]] = {
    "include_sources": IncludeSources,
    "points": PointSource,
    "categories": CategoryOption,
}
