"""What a dataset says about the faces in one picture, and how it moves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fomaug import warp
from fomaug.errors import LabelError
from fomaug.labels.segments import Segment, move_segment, size_misfit

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


def move(labels: FaceLabels, flow: Tensor, size: Size, *, occlusion: Tensor | None = None) -> FaceLabels:
    """Move the labels of a picture through the flow that moved the picture.

    Args:
        labels: in the source's pixels.
        flow: (1, h, w, 2) backward flow.
        size: (H, W) of the picture.
        occlusion: (1, 1, h, w) in [0, 1], as returned beside the flow.

    Returns:
        The labels of the animated picture; a point or box that was invisible stays so.

    Raises:
        LabelError: a mask is not of the picture's size.
    """
    moved = labels
    if labels.points is not None:
        xy, seen = _through(warp.points, labels.points, flow, size, occlusion)
        moved = replace(moved, points=xy, visible=seen & _all_if_none(labels.visible, seen))
    if labels.boxes is not None:
        xyxy, seen = _through(warp.boxes, labels.boxes, flow, size, occlusion)
        moved = replace(moved, boxes=xyxy, box_visible=seen & _all_if_none(labels.box_visible, seen))
    if labels.mask is not None:
        if labels.mask.shape != size:
            raise LabelError(size_misfit(labels.mask.shape, size))
        plane = torch.from_numpy(labels.mask.astype(np.int64))[None]
        mask = warp.mask(plane, flow, void=labels.void)[0].numpy().astype(labels.mask.dtype)
        moved = replace(moved, mask=mask)
    if labels.segments is not None:
        segments = (None if segment is None else move_segment(segment, flow, size) for segment in labels.segments)
        moved = replace(moved, segments=tuple(segments))
    return moved


def _through(
    function: Any, values: NDArray[np.float64], flow: Tensor, size: Size, occlusion: Tensor | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    found, visible = function(torch.from_numpy(values), flow.double(), occlusion=occlusion, size=size)
    return found.numpy(), visible.numpy()


def _all_if_none(values: NDArray[np.bool_] | None, like: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.ones_like(like) if values is None else values
