"""Move labels by the flow of their picture; loaders, adapters and `fomaug expand` use these functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fomaug import warp
from fomaug.errors import LabelError
from fomaug.geometry import is_mirrored
from fomaug.labels.faces import FaceLabels, Size, point_counts
from fomaug.labels.schemes import mirror_order
from fomaug.labels.segments import move_segment, size_misfit


@dataclass(frozen=True, eq=False)
class Movement:
    """The motion of B pictures, which moves their labels.

    Points and boxes are in pixels; the centre of the first pixel is at (0, 0). A point is visible if the moved picture
    shows it: the point is neither outside the picture, nor hidden, nor turned away, nor painted by the model.
    Where the flow mirrors a picture, left and right of its landmarks are swapped if their number is that of a scheme.

    Attributes:
        flow: (B, h, w, 2) backward flow.
        occlusion: (B, 1, h, w) in [0, 1], occlusion that the model returned with the flow; None for other flows.
        size: (H, W) of the pictures.
    """

    flow: Tensor
    occlusion: Tensor | None
    size: Size

    def of(self, rows: Sequence[int] | slice, device: torch.device) -> Movement:
        """Select the motion of some pictures, on the device of their labels."""
        occlusion = None if self.occlusion is None else self.occlusion[rows].to(device)
        return Movement(self.flow[rows].to(device), occlusion, self.size)

    def points(self, xy: Tensor, counts: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """Move points.

        Args:
            xy: (B, M, 2) of any dtype; NaN and (-1, -1) stand for a missing point, which is not moved.
            counts: numbers of points of the faces; None for one face.

        Returns:
            (B, M, 2) of the same dtype, rounded to whole numbers for integers; and (B, M) bool, whether each point is
            visible. The coordinates of an invisible point are estimates.
        """
        return self._through(warp.points, self.swapped(xy, counts))

    def swapped(self, values: Tensor, counts: Sequence[int] | None = None) -> Tensor:
        """Swap the values of left and right landmarks in mirrored pictures.

        Args:
            values: (B, M, ...) a value for each landmark.
            counts: numbers of points of the faces; None for one face. Points in other numbers than those of the schemes
                stay in their order.
        """
        mirrored = is_mirrored(self.flow)
        if not mirrored.any():
            return values
        order = mirror_order(counts or [values.shape[1]])
        rows = mirrored.to(values.device).view(-1, *[1] * (values.ndim - 1))
        return torch.where(rows, values[:, order], values)

    def corners(self, xy: Tensor) -> Tensor:
        """Move corners of boxes as `points` moves points; (-1, -1) does not stand for a missing corner."""
        half = torch.tensor([max(side - 1, 1) / 2 for side in self.size[::-1]], device=xy.device, dtype=self.flow.dtype)
        moved, _ = warp.points(xy.to(self.flow.dtype) / half - 1, self.flow)
        return self._like((moved + 1) * half, xy)

    def boxes(self, xyxy: Tensor) -> tuple[Tensor, Tensor]:
        """Move boxes; a moved box surrounds the moved content.

        Args:
            xyxy: (B, M, 4) of any dtype, centres of the first and the last pixel in x and y.

        Returns:
            (B, M, 4) of the same dtype, within the picture; and (B, M) bool, False for a box of whose content less than
            a tenth is visible.
        """
        return self._through(warp.boxes, xyxy)

    def masks(self, masks: Tensor, *, void: int | None = None) -> Tensor:
        """Move masks; class numbers are not interpolated.

        Args:
            masks: (B, H, W) or (B, C, H, W) of any dtype.
            void: class number of pixels from outside the source; None repeats the border.
        """
        return warp.mask(masks, self.flow, void=void)

    def _through(self, function: Callable[..., tuple[Tensor, Tensor]], given: Tensor) -> tuple[Tensor, Tensor]:
        values = given.to(torch.promote_types(given.dtype, self.flow.dtype))
        moved, visible = function(values, self.flow, occlusion=self.occlusion, size=self.size)
        return self._like(moved, given), visible

    @staticmethod
    def _like(values: Tensor, given: Tensor) -> Tensor:
        return (values if given.is_floating_point() else values.round()).to(given.dtype)


def move(labels: FaceLabels, flow: Tensor, size: Size, *, occlusion: Tensor | None = None) -> FaceLabels:
    """Move the labels of a picture by the flow that moved the picture.

    Args:
        labels: labels in the source's pixels.
        flow: (1, h, w, 2) backward flow.
        size: (H, W) of the picture.
        occlusion: (1, 1, h, w) in [0, 1], occlusion that the model returned with the flow.

    Returns:
        The labels of the animated picture; an invisible point or box stays invisible.

    Raises:
        LabelError: a mask has another size than the picture.
    """
    exact = Movement(flow.double(), occlusion, size)
    moved = labels
    if labels.points is not None:
        counts = point_counts(labels)
        xy, seen = _to_arrays(exact.points(torch.from_numpy(labels.points)[None], counts))
        moved = _swap_flags(moved, exact, counts)
        moved = replace(moved, points=xy, visible=_both(moved.visible, seen))
    if labels.boxes is not None:
        xyxy, seen = _to_arrays(exact.boxes(torch.from_numpy(labels.boxes)[None]))
        moved = replace(moved, boxes=xyxy, box_visible=_both(labels.box_visible, seen))
    if labels.mask is not None:
        if labels.mask.shape != size:
            raise LabelError(size_misfit(labels.mask.shape, size))
        classes = torch.from_numpy(labels.mask.astype(np.int64))[None]
        mask = Movement(flow, occlusion, size).masks(classes, void=labels.void)
        moved = replace(moved, mask=mask[0].numpy().astype(labels.mask.dtype))
    if labels.segments is not None:
        segments = (None if segment is None else move_segment(segment, flow, size) for segment in labels.segments)
        moved = replace(moved, segments=tuple(segments))
    return moved


def _swap_flags(labels: FaceLabels, movement: Movement, counts: Sequence[int]) -> FaceLabels:
    """Swap the visibility of left and right landmarks where their picture is mirrored."""
    if labels.visible is not None:
        (visible,) = movement.swapped(torch.from_numpy(labels.visible)[None], counts).numpy()
        labels = replace(labels, visible=visible)
    if "flags" in labels.fields:
        (flags,) = movement.swapped(torch.tensor([labels.fields["flags"]]), counts).tolist()
        labels = replace(labels, fields={**labels.fields, "flags": flags})
    return labels


def _to_arrays(moved: tuple[Tensor, Tensor]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    values, visible = moved
    return values[0].numpy(), visible[0].numpy()


def _both(before: NDArray[np.bool_] | None, after: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return after if before is None else after & before
