"""The settings of a conversion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from fomaug.errors import ArgumentError, check_choice
from fomaug.options import IncludeSources, option

CategoryOption = Literal["face", "label"]
PointSource = Literal["auto", "annotations", "model"]


@dataclass(frozen=True)
class ConvertPlan:
    """All settings that determine the files of a conversion.

    Attributes:
        to: name of the format.
        include_sources: treatment of originals: "copy" or "link" to include them, "none" for the copies alone.
        align: side of aligned crops in pixels; None leaves the pictures as they are.
        margin: width added at each edge of a crop, as a share of its side.
        points: origin of the five points for the alignment.
        categories: category of a face in detection formats.
        quality: quality of re-encoded JPEGs.
    """

    to: str
    include_sources: IncludeSources = option(
        "copy",
        "Originals in the result: copy all pictures; link all pictures that are separate files; "
        "or none, for the copies alone.",
    )
    align: int | None = option(None, "Align every face by five points, in a square crop with this side in pixels.")
    margin: float = option(0.0, "Share of the crop's side that is added at each edge of an aligned crop.")
    points: PointSource = option(
        "auto",
        "Origin of the points for the alignment: annotated landmarks, the model's keypoints, or "
        "annotations if there are some (auto).",
    )
    categories: CategoryOption = option(
        "face", "Category of a face in detection formats: face (or its annotated category), or its class label."
    )
    quality: int = option(95, "Quality of re-encoded JPEGs, 1 to 100.")

    def __post_init__(self) -> None:
        for name, kind in _CHOICES.items():
            check_choice(name, getattr(self, name), get_args(kind))
        if not 1 <= self.quality <= 100:
            raise ArgumentError(f"quality must be 1 to 100, got {self.quality}")
        if self.align is None and self.margin:
            raise ArgumentError("margin is used only for aligned crops; give align, the side of the crops in pixels")


_CHOICES: Final[dict[str, Any]] = {
    "include_sources": IncludeSources,
    "points": PointSource,
    "categories": CategoryOption,
}
