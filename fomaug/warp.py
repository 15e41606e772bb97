"""Move images and labels through a backward flow.

A flow is `MotionAugment.apply(...).flow` or `Animator.animate(...).flow`: (B, h, w, 2), the source coordinates of every
target pixel. Images and masks are sampled at these coordinates; points and boxes need the inverse of the flow.

>>> import torch
>>> from fomaug.geometry import identity_grid
>>> flow = identity_grid((64, 64))[None] * 0.5  # everything twice as large
>>> moved, visible = points(torch.tensor([[[0.25, 0.125]]]), flow)
>>> moved.round(decimals=4).tolist(), visible.item()
([[[0.5, 0.25]]], True)
"""

from __future__ import annotations

import torch
from torch import Tensor

from fomaug.errors import ArgumentError, ShapeError
from fomaug.geometry import coarsen_flow, is_mirrored, resize_flow, warp_image
from fomaug.geometry.inverse import invert_points, uneven_stretch
from fomaug.geometry.plane import Padding

Size = tuple[int, int]
__all__ = ["boxes", "centres_to_edges", "edges_to_centres", "image", "mask", "points"]

_EDGE_SAMPLES = 17  # points along each side of a box
_VISIBLE_SHARE = 0.1  # least share of a box's points that are visible in a visible box
_PAINTED = 0.5  # occlusion below which a point was painted
_TURNED_AWAY = (
    1.5  # largest uneven stretch; measured on heads whose hidden points are known, see docs/evidence/labels.md
)
# torch cannot gather unsigned types, so their bits are gathered as the signed type of the same width.
_SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}


def image(x: Tensor, flow: Tensor, *, padding: Padding = "border") -> Tensor:
    """Warp images.

    Args:
        x: (B, C, H, W) float, any range.
        flow: (B, h, w, 2) backward flow at any resolution.
        padding: values outside of the image.

    Returns:
        (B, C, H, W) in the dtype of `x`.
    """
    _check_tensors(x=x, flow=flow)
    _check_flow(x, flow)
    return warp_image(x, flow, padding=padding)


def mask(m: Tensor, flow: Tensor, *, void: int | None = None) -> Tensor:
    """Warp masks of class numbers: every pixel gets the nearest number, without interpolation.

    Args:
        m: (B, H, W) or (B, C, H, W) of any dtype.
        flow: (B, h, w, 2) backward flow at any resolution.
        void: number for pixels from outside of the image; None repeats the border.

    Returns:
        Masks in the shape and dtype of `m`.
    """
    _check_tensors(m=m, flow=flow)
    _check_flow(m, flow)
    signed = _SIGNED.get(m.dtype)
    if signed is not None:
        bits = None if void is None else int(torch.tensor(void, dtype=m.dtype).view(signed))
        return mask(m.view(signed), flow, void=bits).view(m.dtype)
    height, width = m.shape[-2:]
    fine = resize_flow(flow.to(torch.promote_types(flow.dtype, torch.float32)), (height, width))
    column = _to_px(fine[..., 0], width).round().long()
    row = _to_px(fine[..., 1], height).round().long()
    index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)  # (B, H, W)
    planes = m.reshape(len(m), m.shape[1:-2].numel(), height * width)
    moved = planes.gather(2, index.flatten(1)[:, None].expand(planes.shape)).view(m.shape)
    if void is None:
        return moved
    outside = (row < 0) | (row >= height) | (column < 0) | (column >= width)
    return moved.masked_fill(outside if m.ndim == 3 else outside[:, None], void)


def points(
    xy: Tensor, flow: Tensor, *, occlusion: Tensor | None = None, size: Size | None = None
) -> tuple[Tensor, Tensor]:
    """Move points.

    A missing point, which is NaN, infinite, or (-1, -1) in pixels, is returned unchanged and as not visible. A flow
    that mirrors the image mirrors the points; `fomaug.labels` also swaps left and right of known landmarks.

    Args:
        xy: (B, M, 2) points (x, y) in [-1, 1], in pixels if `size` is given; (M, 2) with a single flow.
        flow: (B, h, w, 2) backward flow at any resolution.
        occlusion: (B, 1, h, w) in [0, 1], the occlusion map of the same result: with it, points are not visible where
            the frame is painted, and where the flow compresses the source into a line, as on surfaces that turn away.
        size: (H, W) of the image, for points in pixels: (0, 0) is the centre of the first pixel.

    Returns:
        Points in the shape of `xy`, finite if the given points are, and (B, M) bool: False for points that are in a
        fold, occluded, turned away, outside, or missing.
    """
    _check_tensors(xy=xy, flow=flow)
    together, single = (xy[None], True) if xy.ndim == 2 else (xy, False)
    if together.ndim != 3 or together.shape[-1] != 2:
        raise ShapeError(f"xy must be (B, M, 2) or (M, 2), got {tuple(xy.shape)}")
    _check_flow(together, flow)
    if not xy.numel():
        return xy.clone(), torch.ones(xy.shape[:-1], dtype=torch.bool, device=xy.device)
    missing = _missing(together, size)
    mirrored = is_mirrored(flow)
    flow, occlusion = _unmirrored(flow, mirrored, 2), None if occlusion is None else _unmirrored(occlusion, mirrored, 3)
    moved, visible = invert_points(_normalised(together, size).masked_fill(missing[..., None], 0), flow)
    visible &= ~missing
    if occlusion is not None:
        visible &= _sample(occlusion, moved) >= _PAINTED
        # The stretch is measured on the occlusion's grid; on finer grids, the edge of a lid counts as a turned surface.
        cells = coarsen_flow(flow, (occlusion.shape[2], occlusion.shape[3]))
        visible &= uneven_stretch(moved, cells) <= _TURNED_AWAY
    moved = torch.where(missing[..., None], together, _pixels(_remirrored(moved, mirrored), size))
    return (moved[0], visible[0]) if single else (moved, visible)


def boxes(
    xyxy: Tensor, flow: Tensor, *, occlusion: Tensor | None = None, size: Size | None = None
) -> tuple[Tensor, Tensor]:
    """Move boxes by their content: the result is the box around the moved points of the box.

    A missing box, which has NaN or infinite values, or four times -1 in pixels, is returned unchanged and as not
    visible.

    Args:
        xyxy: (B, M, 4) boxes (x0, y0, x1, y1), in [-1, 1]; in pixels if `size` is given. (M, 4) with a single flow.
        flow: (B, h, w, 2) backward flow at any resolution.
        occlusion: (B, 1, h, w) in [0, 1], the occlusion map of the same result.
        size: (H, W) of the image, for boxes in pixels: from the centre of their first to that of their last pixel.
            See `edges_to_centres` for others.

    Returns:
        Boxes in the shape of `xyxy`, inside the image, and (B, M) bool: False if less than a tenth of the content is
        visible.
    """
    _check_tensors(xyxy=xyxy, flow=flow)
    together, single = (xyxy[None], True) if xyxy.ndim == 2 else (xyxy, False)
    if together.ndim != 3 or together.shape[-1] != 4:
        raise ShapeError(f"xyxy must be (B, M, 4) or (M, 4), got {tuple(xyxy.shape)}")
    b, m, _ = together.shape
    missing = _missing(together, size)[..., None]
    corners = _normalised(together.masked_fill(missing, 0).reshape(b, 2 * m, 2), size).view(b, m, 2, 2)
    samples = _box_samples(corners.flatten(0, 1))  # (B * M, S, 2)
    count = samples.shape[1]
    moved, seen = points(samples.view(b, m * count, 2), flow, occlusion=occlusion)
    moved, seen = moved.clamp(-1, 1).view(b, m, count, 2), seen.view(b, m, count)
    low, high = moved.amin(2), moved.amax(2)
    out = torch.where(missing, together, torch.cat([_pixels(low, size), _pixels(high, size)], dim=-1))
    visible = (seen.float().mean(2) >= _VISIBLE_SHARE) & ~missing[..., 0]
    return (out[0], visible[0]) if single else (out, visible)


def edges_to_centres(xyxy_px: Tensor) -> Tensor:
    """Convert boxes of pixel edges, such as those of COCO, to the centres of their first and last pixels.

    A box thinner than a pixel becomes its middle line; `centres_to_edges` then gives it the width of a pixel.

    Args:
        xyxy_px: (..., 4) float; the whole image is (0, 0, W, H).

    Returns:
        (..., 4) for `boxes`; the whole image is (0, 0, W - 1, H - 1).
    """
    first, last = xyxy_px[..., :2], xyxy_px[..., 2:] - 1
    middle = (first + last) / 2
    return torch.cat([torch.minimum(first, middle), torch.maximum(last, middle)], -1)


def centres_to_edges(xyxy_px: Tensor) -> Tensor:
    """Convert boxes (..., 4) of the centres of their first and last pixels to pixel edges.

    >>> centres_to_edges(edges_to_centres(torch.tensor([2.0, 3.0, 7.0, 9.0])))
    tensor([2., 3., 7., 9.])
    """
    return torch.cat([xyxy_px[..., :2], xyxy_px[..., 2:] + 1], -1)


def _unmirrored(values: Tensor, mirrored: Tensor, axis: int) -> Tensor:
    """Undo the mirroring in rows of a flow or an occlusion; otherwise mirrored cells would count as folds."""
    if not mirrored.any():
        return values
    return torch.where(mirrored.to(values.device).view(-1, *[1] * (values.ndim - 1)), values.flip(axis), values)


def _remirrored(xy: Tensor, mirrored: Tensor) -> Tensor:
    if not mirrored.any():
        return xy
    return torch.where(mirrored[:, None, None], xy * xy.new_tensor([-1, 1]), xy)


def _missing(values: Tensor, size: Size | None) -> Tensor:
    """Return (B, M), whether points or boxes (B, M, 2 or 4) are missing; in [-1, 1], the value -1 is a coordinate."""
    missing = ~values.isfinite().all(-1)
    return missing if size is None else missing | (values == -1).all(-1)


def _box_samples(corners: Tensor) -> Tensor:
    """Make points (N, S, 2) along the sides and on lines through the middle of boxes (N, 2, 2)."""
    steps = torch.linspace(0, 1, _EDGE_SAMPLES, device=corners.device, dtype=corners.dtype)
    levels = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0], device=corners.device, dtype=corners.dtype)
    across = torch.cartesian_prod(steps, levels)
    weights = torch.cat([across, across.flip(-1)])  # (S, 2)
    return corners[:, :1] + weights * (corners[:, 1:] - corners[:, :1])


def _sample(maps: Tensor, xy: Tensor) -> Tensor:
    sampled = torch.nn.functional.grid_sample(maps.to(xy.dtype), xy[:, None], padding_mode="border", align_corners=True)
    return sampled[:, 0, 0]  # (B, M)


def _check_tensors(**values: object) -> None:
    for name, value in values.items():
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            remedy = "torch.from_numpy(array)" if kind == "ndarray" else "torch.tensor(values)"
            raise ShapeError(f"{name} must be a tensor, got {kind}; use {remedy}")


def _check_flow(batch: Tensor, flow: Tensor) -> None:
    if flow.ndim != 4 or flow.shape[-1] != 2:
        raise ShapeError(f"flow must be (B, h, w, 2), got {tuple(flow.shape)}")
    if len(batch) != len(flow):
        raise ShapeError(f"{len(batch)} labels or pictures for {len(flow)} flows; give one for each flow")


def _to_px(values: Tensor, length: int) -> Tensor:
    return (values + 1) * ((length - 1) / 2)


def _normalised(xy: Tensor, size: Size | None) -> Tensor:
    if not xy.is_floating_point():
        raise ArgumentError(f"points and boxes must be float, got {xy.dtype}")
    return xy if size is None else xy / _half_extent(xy, size) - 1


def _pixels(xy: Tensor, size: Size | None) -> Tensor:
    return xy if size is None else (xy + 1) * _half_extent(xy, size)


def _half_extent(xy: Tensor, size: Size) -> Tensor:
    return torch.tensor([max(size[1] - 1, 1) / 2, max(size[0] - 1, 1) / 2], device=xy.device, dtype=xy.dtype)
