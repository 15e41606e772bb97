"""Segmentations of faces, as polygons or run lengths like COCO's, and their motion.

The corners of a polygon are moved, and corners are added where a straight edge becomes curved; no precision is lost.
Run lengths are decoded to a mask, which is moved like any mask. If the motion hides a part of a polygon's inside, the
polygon still contains that part.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fomaug import warp
from fomaug.errors import LabelError, shortened
from fomaug.labels.checks import check_points
from fomaug.labels.rle import decode_mask, encode_mask, read_runs

Segment = list[list[float]] | dict[str, Any]
"""Polygons [x, y, x, y, ...] in pixels, one for each part of a face; or `size` and `counts` of a mask."""
Points = NDArray[np.float64]

_STEP: Final = 3.0  # Distance in pixels between the points of an edge that are moved.
_MOST_CORNERS: Final = 10_000  # Most corners in the polygons of a face.
_MOST_SAMPLES: Final = 20_000  # Most points of a polygon that are moved besides its corners.
_STRAIGHT: Final = 0.2  # Largest distance in pixels of a removed point from the line between its neighbours.


def read_segment(value: Any) -> Segment | None:
    """Check a segmentation; the result is None if it is empty.

    Raises:
        LabelError: the value consists of neither valid polygons nor valid run lengths.
    """
    if isinstance(value, dict):
        read_runs(value)
        return value
    if not value:
        return None
    if not isinstance(value, list) or not all(isinstance(polygon, list) for polygon in value):
        raise LabelError(
            f"a segmentation must be a list of polygons, or an object with size and counts, got {shortened(value)}"
        )
    if sum(map(len, value)) > 2 * _MOST_CORNERS:
        raise LabelError(f"a segmentation may have up to {_MOST_CORNERS} corners, got {sum(map(len, value)) // 2}")
    return [_read_polygon(polygon) for polygon in value]


def _read_polygon(numbers: list[Any]) -> list[float]:
    polygon = [float(number) for number in numbers]
    if len(polygon) < 6 or len(polygon) % 2 or not np.isfinite(polygon).all():
        raise LabelError(f"a polygon must have three or more corners of finite x, y, got {shortened(polygon)}")
    check_points(np.reshape(polygon, (-1, 2)))
    return polygon


def move_segment(segment: Segment, flow: Tensor, size: tuple[int, int]) -> Segment | None:
    """Move the segmentation of a face.

    Args:
        segment: segmentation in the source's pixels.
        flow: (1, h, w, 2) backward flow.
        size: (H, W) of the picture.

    Returns:
        The moved segmentation, in the same form as the given one; None if no part of it is in the picture.
    """
    if isinstance(segment, dict):
        return _move_runs(segment, flow, size)
    moved = [_move_polygon(np.reshape(polygon, (-1, 2)), flow, size) for polygon in segment]
    return [polygon.round(2).flatten().tolist() for polygon in moved if _polygon_area(polygon) > 0.5] or None


def segment_area(segment: Segment) -> float:
    """Return the area of a segmentation in pixels."""
    if isinstance(segment, dict):
        return float(read_runs(segment).area)
    return float(sum(_polygon_area(np.reshape(polygon, (-1, 2))) for polygon in segment))


def segment_box(segment: Segment) -> tuple[float, float, float, float]:
    """Return the box (x0, y0, x1, y1) around a segmentation; all 0 for an empty mask."""
    if isinstance(segment, dict):
        return read_runs(segment).box  # These are edges of pixels, as in COCO's boxes of masks.
    points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in segment])
    (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
    return x0, y0, x1, y1


def misfit(segment: Segment | None, size: tuple[int, int]) -> str:
    """Describe why a segmentation does not fit a picture of (H, W); the text is empty for polygons, or if it fits."""
    if not isinstance(segment, dict) or (found := read_runs(segment).size) == size:
        return ""
    return size_misfit(found, size)


def size_misfit(mask: tuple[int, int], picture: tuple[int, int]) -> str:
    """Describe the difference between the size (h, w) of a mask and the size (H, W) of its picture."""
    return (
        f"a mask must be (height, width) = {picture} like its picture, got {mask}; "
        "resize it to the picture after its EXIF orientation"
    )


def _move_runs(segment: dict[str, Any], flow: Tensor, size: tuple[int, int]) -> dict[str, Any] | None:
    if reason := misfit(segment, size):
        raise LabelError(reason)
    mask = decode_mask(segment)
    moved = warp.mask(torch.from_numpy(mask.copy())[None], flow, void=0)[0].numpy()
    return encode_mask(moved, packed=isinstance(segment["counts"], str)) if moved.any() else None


def _move_polygon(corners: Points, flow: Tensor, size: tuple[int, int]) -> Points:
    ends = np.roll(corners, -1, 0)
    # An edge may be much longer than the picture, so the number of its points is limited.
    step = max(_STEP, float(np.linalg.norm(ends - corners, axis=1).sum()) / _MOST_SAMPLES)
    edges = [_along(start, end, step) for start, end in zip(corners, ends, strict=True)]
    # The frame is [-1, 1], in which warp.points treats no corner as missing.
    half = np.maximum([size[1] - 1, size[0] - 1], 1) / 2
    centred = torch.from_numpy(np.concatenate(edges) / half - 1)
    moved = ((warp.points(centred, flow.double())[0].numpy() + 1) * half).clip(0, (size[1] - 1, size[0] - 1))
    starts = np.cumsum([0, *(len(edge) for edge in edges)])
    closed = np.concatenate([moved, moved[:1]])
    bent = [_straightened(closed[start : end + 1]) for start, end in pairwise(starts)]
    return np.concatenate(bent)


def _along(start: Points, end: Points, step: float) -> Points:
    """Divide the line from start to end; the end is not among the points."""
    count = max(1, round(float(np.hypot(*(end - start))) / step))
    points: Points = start + np.arange(count)[:, None] / count * (end - start)
    return points


def _straightened(points: Points) -> Points:
    """Remove the points (N, 2) on the line between the kept ones, and the last point."""
    kept, parts = [], [points]  # This is a stack instead of a recursion, since a bent edge can have very many parts.
    while parts:
        part = parts.pop()
        worst = _bend(part)
        if worst is None:
            kept.append(part[:1])
        else:
            parts += [part[worst:], part[: worst + 1]]
    return np.concatenate(kept)


def _bend(points: Points) -> int | None:
    """Find the index of the point farthest from the line between the first and the last; None if all are near."""
    if len(points) < 3:
        return None
    first, along = points[0], points[-1] - points[0]
    share = ((points - first) @ along / max(float(along @ along), 1e-12)).clip(0, 1)
    distance = np.linalg.norm(points - first - share[:, None] * along, axis=1)
    worst = int(distance.argmax())
    return worst if distance[worst] > _STRAIGHT else None


def _polygon_area(points: Points) -> float:
    x, y = (points - points.mean(0)).T
    return abs(float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())) / 2
