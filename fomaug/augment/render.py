"""Apply motion parameters to images: a pure function, nothing random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from fomaug.animator import Animator
from fomaug.augment.boxes import apply_in_boxes
from fomaug.augment.pixels import Range, check_images, from_unit, layout, to_unit
from fomaug.augment.result import MotionResult
from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError, PoolError
from fomaug.geometry import check_region, confine, identity_grid, showable_share, take_share, transfer
from fomaug.motion import MotionParams, pool_frames
from fomaug.types import Animated, Keypoints


@dataclass(frozen=True)
class _Plan:
    """Images to encode together, and the results to make of them, in chunks."""

    sources: list[int]
    chunks: list[list[int]]


def apply(
    animator: Animator,
    pool: DrivingPool,
    images: Tensor,
    params: Sequence[MotionParams],
    *,
    value_range: Range = (0.0, 1.0),
    batch_size: int | None = None,
    differentiable: bool = False,
) -> MotionResult:
    """Move images as their parameters say; skipped ones stay untouched, bit for bit.

    Every image is encoded once, however many copies it has. Memory is bounded by `batch_size`.

    Args:
        animator: the model.
        pool: which the parameters were drawn from.
        images: (B, 3 or 1, H, W), uint8 or float in `value_range`; not modified.
        params: B * copies parameters, all copies of the first image first. Those with a box move a face in its place.
        value_range: lowest and highest value of float images.
        batch_size: images per pass through the model; None for 64 on an accelerator and 8 on the CPU.
        differentiable: let gradients flow to float images.
    """
    copies = _copies(images, params)
    check_images(images, value_range)
    _check_params(animator, params)
    if differentiable and not images.is_floating_point():
        raise ArgumentError("differentiable=True needs float images: gradients do not flow through uint8")
    # More on a CPU would leave its caches: 8 are 6 to 10 percent faster than 16.
    size = batch_size or (8 if animator.device.type == "cpu" else 64)

    def animate(images: Tensor, params: Sequence[MotionParams]) -> MotionResult:
        return _apply(animator, pool, images, params, (value_range, size), differentiable=differentiable)

    # Under a caller's autocast the same parameters would give other pixels than outside of it.
    with torch.autocast(animator.device.type, enabled=False), torch.autocast(images.device.type, enabled=False):
        if any(param.box is not None and not param.skipped for param in params):
            still = images if differentiable else images.detach()
            return apply_in_boxes(animate, still, params, copies, value_range)
        return animate(images, params)


def _apply(
    animator: Animator,
    pool: DrivingPool,
    images: Tensor,
    params: Sequence[MotionParams],
    how: tuple[Range, int],
    *,
    differentiable: bool,
) -> MotionResult:
    """Move whole images, as many in a pass as `how` allows."""
    copies, params, (value_range, size) = _copies(images, params), list(params), how
    moved = []
    for plan in _plans(params, copies, size):
        unit = to_unit(_take(images, plan.sources).to(animator.device), value_range)
        source = animator.encode(unit, differentiable=differentiable)
        for rows in plan.chunks:
            picked = source[_positions(plan.sources, rows, copies)]
            target, settled = _targets(animator, pool, picked.keypoints, [params[row] for row in rows])
            for row, param in zip(rows, settled, strict=True):
                params[row] = param
            animated = animator.animate(picked, target, differentiable=differentiable)
            moved.append((rows, _like(animated, images, value_range)))
    return _gather(images, copies, params, moved)


def _copies(images: Tensor, params: Sequence[MotionParams]) -> int:
    count = images.shape[0]
    copies = len(params) // max(count, 1)
    if len(params) != count * copies or (count and not copies):
        raise ArgumentError(
            f"{len(params)} motion parameters for {count} images: give one for each image, or the same number of "
            "copies for every image, all copies of the first image first"
        )
    return copies


def _check_params(animator: Animator, params: Sequence[MotionParams]) -> None:
    faces = [own for param in params for own in param.faces]
    for param in faces:
        if param.model_hash != animator.hash:
            raise PoolError(
                f"the motion of {param.key!r} was drawn for model {param.model_hash[:12]!r}, not for {animator.name!r} "
                f"({animator.hash[:12]!r}); load that model, or draw again"
            )
    for region in {own.region for own in faces}:
        check_region(region, animator.keypoint_names)


def _plans(params: Sequence[MotionParams], copies: int, size: int) -> Iterator[_Plan]:
    moving = [row for row, param in enumerate(params) if not param.skipped]
    sources = [source for source, _ in groupby(moving, lambda row: row // copies)]
    for start in range(0, len(sources), size):
        part = sources[start : start + size]
        rows = [row for row in moving if part[0] <= row // copies <= part[-1]]
        yield _Plan(part, [rows[at : at + size] for at in range(0, len(rows), size)])


def _positions(sources: Sequence[int], rows: Sequence[int], copies: int) -> list[int] | slice:
    place = {source: position for position, source in enumerate(sources)}
    found = [place[row // copies] for row in rows]
    # A slice keeps the features where they are; indices would copy them.
    return slice(None) if found == list(range(len(sources))) else found


def _take(images: Tensor, rows: list[int]) -> Tensor:
    return images if rows == list(range(len(images))) else images[rows]


def _targets(
    animator: Animator, pool: DrivingPool, source: Keypoints, params: Sequence[MotionParams]
) -> tuple[Keypoints, list[MotionParams]]:
    """Where the keypoints shall go, and the parameters with reference frame and strength settled for the source."""
    driving, reference, numbers = pool_frames(pool, animator.device).gather(params, source)
    strength = torch.tensor([param.strength for param in params]).to(source.value)
    bounded = torch.tensor([param.relative and not param.settled for param in params]).to(strength.device)
    share = torch.ones_like(strength)
    places = sorted(range(len(params)), key=lambda row: _mode(params[row]))
    parts = []
    for mode, group in groupby(places, key=lambda row: _mode(params[row])):
        rows = list(group)
        relative, relative_jacobian, adapt_scale, region = mode
        whole = transfer(
            source[rows],
            driving[rows],
            reference[rows],
            relative=relative,
            relative_jacobian=relative_jacobian,
            adapt_scale=adapt_scale,
        )
        target, share[rows] = _bounded(animator, source[rows], whole, strength[rows], bounded[rows], region)
        parts.append(target)
    back = sorted(range(len(places)), key=places.__getitem__)
    # Only where it was bounded: else the digits of the draw stay.
    taken = [
        param.strength if full else less
        for param, full, less in zip(params, (share == 1).tolist(), (strength * share).tolist(), strict=True)
    ]
    settled = [param.settle(number, own) for param, number, own in zip(params, numbers, taken, strict=True)]
    return Keypoints.cat(parts)[back], settled


def _bounded(
    animator: Animator, source: Keypoints, whole: Keypoints, strength: Tensor, bounded: Tensor, region: str
) -> tuple[Keypoints, Tensor]:
    """Take `strength` of a motion; of what is bounded only the share that shows nothing the source hides."""
    names = animator.keypoint_names
    moved = confine(source, take_share(source, whole, strength), region, names)
    share = torch.where(bounded, showable_share(source, moved, names).detach(), 1.0)
    if bool((share < 1).any()):
        moved = confine(source, take_share(source, whole, strength * share), region, names)
    return moved, share


def _mode(param: MotionParams) -> tuple[bool, bool, bool, str]:
    return param.relative, param.relative_jacobian, param.adapt_scale, param.region


def _like(animated: Animated, images: Tensor, value_range: Range) -> Animated:
    return Animated(
        from_unit(animated.image, images, value_range),
        animated.flow.to(images.device, torch.float32),
        animated.occlusion.to(images.device, torch.float32),
    )


def _gather(
    images: Tensor, copies: int, params: list[MotionParams], moved: Sequence[tuple[list[int], Animated]]
) -> MotionResult:
    """Put moved and skipped rows together in their order."""
    image = images if copies == 1 else images.repeat_interleave(copies, 0)
    if not moved:
        height, width = images.shape[2:]
        flow = identity_grid((max(height // 4, 2), max(width // 4, 2)), device=images.device).expand(
            len(params), -1, -1, -1
        )
        return MotionResult(image, flow, torch.ones_like(flow[..., 0])[:, None], params)
    rows = [row for part, _ in moved for row in part]
    new = _join([animated.image for _, animated in moved])
    flow = _join([animated.flow for _, animated in moved])
    occlusion = _join([animated.occlusion for _, animated in moved])
    if rows != list(range(len(params))):
        new = _scatter(image, rows, new)
        grid = identity_grid((flow.shape[1], flow.shape[2]), device=flow.device)
        flow = _scatter(grid.expand(len(params), -1, -1, -1), rows, flow)
        occlusion = _scatter(occlusion.new_ones(len(params), *occlusion.shape[1:]), rows, occlusion)
    return MotionResult(new.contiguous(memory_format=layout(images)), flow, occlusion, params)


def _join(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _scatter(base: Tensor, rows: list[int], values: Tensor) -> Tensor:
    whole = base.clone()
    whole[rows] = values
    return whole
