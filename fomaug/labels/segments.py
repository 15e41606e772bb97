"""Segmentations, as COCO has them: polygons or run lengths of each face, and how they move.

Polygons move by their corners, with new ones where a straight edge becomes bent; they stay as sharp as they were. Run
lengths become a mask, which moves as masks do. A polygon whose inside the motion hides in part keeps its outline.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fomaug import warp
from fomaug.errors import LabelError
from fomaug.labels.rle import decode_mask, encode_mask

Segment = list[list[float]] | dict[str, Any]
"""Polygons [x, y, x, y, ...] in pixels, several for a face in parts; or `size` and `counts` of a mask."""
Points = NDArray[np.float64]

_STEP: Final = 3.0  # pixels between the points of an edge that are moved
_STRAIGHT: Final = 0.2  # pixels that a point may be off the line between its neighbours, and be left out


def read_segment(value: Any) -> Segment | None:
    """Check a segmentation; None if it is empty.

    Raises:
        LabelError: it is neither polygons nor run lengths.
    """
    if isinstance(value, dict):
        decode_mask(value)
        return value
    polygons: list[list[float]] = [[float(number) for number in polygon] for polygon in value or []]
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2 or not np.isfinite(polygon).all():
            raise LabelError(f"a polygon must be three or more finite x, y, got {polygon[:8]}")
    return polygons or None


def move_segment(segment: Segment, flow: Tensor, size: tuple[int, int]) -> Segment | None:
    """Move the segmentation of a face.

    Args:
        segment: in the source's pixels.
        flow: (1, h, w, 2) backward flow.
        size: (H, W) of the picture.

    Returns:
        Of the same kind; None if nothing of it is left in the picture.
    """
    if isinstance(segment, dict):
        return _move_runs(segment, flow, size)
    moved = [_move_polygon(np.reshape(polygon, (-1, 2)), flow, size) for polygon in segment]
    return [polygon.round(2).flatten().tolist() for polygon in moved if _polygon_area(polygon) > 0.5] or None


def segment_area(segment: Segment) -> float:
    """Its area in pixels."""
    if isinstance(segment, dict):
        return float(decode_mask(segment).sum())
    return float(sum(_polygon_area(np.reshape(polygon, (-1, 2))) for polygon in segment))


def segment_box(segment: Segment) -> tuple[float, float, float, float]:
    """The box around it, (x0, y0, x1, y1); all 0 if it is empty."""
    if not isinstance(segment, dict):
        points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in segment])
        (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
        return x0, y0, x1, y1
    rows, columns = np.nonzero(decode_mask(segment))
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0
    # A pixel reaches to where the next one begins, as in COCO's own boxes of masks.
    return float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)


def _move_runs(segment: dict[str, Any], flow: Tensor, size: tuple[int, int]) -> dict[str, Any] | None:
    mask = decode_mask(segment)
    if mask.shape != size:
        raise LabelError(f"a mask of {mask.shape} belongs to no picture of {size}")
    moved = warp.mask(torch.from_numpy(mask.copy())[None], flow, void=0)[0].numpy()
    return encode_mask(moved, packed=isinstance(segment["counts"], str)) if moved.any() else None


def _move_polygon(corners: Points, flow: Tensor, size: tuple[int, int]) -> Points:
    edges = [_along(start, end) for start, end in zip(corners, np.roll(corners, -1, 0), strict=True)]
    points = torch.from_numpy(np.concatenate(edges))
    moved = warp.points(points, flow.double(), size=size)[0].numpy().clip(0, (size[1] - 1, size[0] - 1))
    starts = np.cumsum([0, *(len(edge) for edge in edges)])
    closed = np.concatenate([moved, moved[:1]])
    bent = [_straightened(closed[start : end + 1]) for start, end in pairwise(starts)]
    return np.concatenate(bent)


def _along(start: Points, end: Points) -> Points:
    """Points on the way from start to end, without the end."""
    count = max(1, round(float(np.hypot(*(end - start))) / _STEP))
    points: Points = start + np.arange(count)[:, None] / count * (end - start)
    return points


def _straightened(points: Points) -> Points:
    """Leave out points (N, 2) that lie on the line between those that stay; the last one stays out, too."""
    first, last = points[0], points[-1]
    along = last - first
    if len(points) < 3:
        return points[:1]
    share = ((points - first) @ along / max(float(along @ along), 1e-12)).clip(0, 1)
    off = np.linalg.norm(points - first - share[:, None] * along, axis=1)
    worst = int(off.argmax())
    if off[worst] <= _STRAIGHT:
        return points[:1]
    return np.concatenate([_straightened(points[: worst + 1]), _straightened(points[worst:])])


def _polygon_area(points: Points) -> float:
    x, y = (points - points.mean(0)).T
    return abs(float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())) / 2
