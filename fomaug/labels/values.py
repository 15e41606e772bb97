"""The labels of the faces in one picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fomaug.labels.segments import Segment

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class FaceLabels:
    """The labels of one picture, in its own pixels: (0, 0) is the centre of the first one.

    Attributes:
        points: (P, 2) float (x, y), the landmarks of all faces one after another; None where there are none. A point of
            NaN or (-1, -1) is missing: it is not visible, and no flow moves it.
        visible: (P,) bool; None if all points are that are not missing.
        boxes: (M, 4) float (x0, y0, x1, y1).
        box_visible: (M,) bool: False for a box whose content left the picture.
        mask: (H, W) integer class numbers.
        palette: of the mask's PNG, kept as it is.
        void: class number for what is not known; it fills what comes from outside of the picture.
        segments: a segmentation of each face, as COCO has them: polygons or run lengths, None for a face without.
        fields: whatever else the annotation says; carried along unchanged.
        origins: where each face with a mask, or the mask of the picture, stands in its file; empty if that is unknown.
    """

    points: NDArray[np.float64] | None = None
    visible: NDArray[np.bool_] | None = None
    boxes: NDArray[np.float64] | None = None
    box_visible: NDArray[np.bool_] | None = None
    mask: NDArray[Any] | None = None
    palette: tuple[int, ...] | None = None
    void: int | None = None
    segments: tuple[Segment | None, ...] | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    origins: tuple[str, ...] = ()

    @property
    def points_seen(self) -> NDArray[np.bool_]:
        """(P,) bool: points that are visible and not missing; empty without points."""
        if self.points is None:
            return np.zeros(0, bool)
        there: NDArray[np.bool_] = np.isfinite(self.points).all(1) & (self.points != -1).any(1)
        return there if self.visible is None else self.visible & there
