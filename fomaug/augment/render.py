"""Apply motion parameters to images: a pure function, nothing random."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple, cast

import torch
from torch import Tensor

from fomaug.animator import Animator
from fomaug.augment.faces import apply_in_boxes, make_result
from fomaug.augment.pixels import Range, ValueCheck, check_images, from_unit, layout, to_unit
from fomaug.device import Readback, send
from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError, PoolError
from fomaug.geometry import check_region, identity_grid
from fomaug.motion import Fitting, MotionParams, MotionResult, PendingResult, begin_fit
from fomaug.types import Animated, Keypoints, Source


@dataclass(frozen=True)
class _Plan:
    """Rows of images that are encoded together, and chunks of results that are animated together."""

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
    """Move images by their parameters; skipped images are unchanged, bit for bit.

    Every image is encoded once, however many copies it has. Memory is bounded by `batch_size`.

    Args:
        animator: model that animates.
        pool: driving pool that the parameters were drawn from.
        images: (B, 3 or 1, H, W), uint8 or float in `value_range`; not modified.
        params: B * copies parameters, all copies of the first image first. Those with a box move the face inside it.
        value_range: lowest and highest value of float images.
        batch_size: number of images per pass through the model; None for 64 on an accelerator and 8 on the CPU.
        differentiable: whether gradients flow to float images.
    """
    copies = _copies(images, params)
    check = check_images(images, value_range)
    _check_params(animator, params)
    if differentiable and not images.is_floating_point():
        raise ArgumentError("differentiable=True needs float images: gradients do not flow through uint8")
    # Larger batches do not fit the caches of a CPU: 8 is 6 to 10 percent faster than 16.
    size = batch_size or (8 if animator.device.type == "cpu" else 64)

    def animate(images: Tensor, params: Sequence[MotionParams]) -> MotionResult:
        return _apply(animator, pool, images, params, (value_range, size), differentiable=differentiable)

    # Inside a caller's autocast the same parameters would give other pixels than outside.
    with torch.autocast(animator.device.type, enabled=False), torch.autocast(images.device.type, enabled=False):
        if any(param.box is not None and not param.skipped for param in params):
            still = images if differentiable else images.detach()
            result = apply_in_boxes(animate, still, params, copies, value_range)
        else:
            result = animate(images, params)
        result = _mirror_rows(result, params)
    if check is None:
        return result
    return PendingResult(
        result.image, result.flow, result.occlusion, params, lambda: result.params, check, result.keypoints
    )


def value_check(result: MotionResult) -> ValueCheck | None:
    """Return the check of the images' values, if it is to be made later."""
    return cast("ValueCheck | None", result.check) if isinstance(result, PendingResult) else None


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
    copies, (value_range, size) = _copies(images, params), how
    moved: list[_Moved] = []
    for plan in _plans(params, copies, size):
        unit = to_unit(_take_images(images, plan.sources).to(animator.device), value_range)
        source = animator.encode(unit, differentiable=differentiable)
        for rows in plan.chunks:
            picked = _pick(source, _indices(plan.sources, rows, copies))
            fitting = begin_fit([params[row] for row in rows], picked.keypoints, pool, animator.keypoint_names)
            animated = animator.animate(picked, fitting.target, differentiable=differentiable)
            moved.append(_Moved(rows, _like(animated, images, value_range), picked.keypoints.detach(), fitting))
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


def _indices(sources: Sequence[int], rows: Sequence[int], copies: int) -> list[int]:
    index = {source: number for number, source in enumerate(sources)}
    return [index[row // copies] for row in rows]


def _pick(source: Source, rows: list[int]) -> Source:
    # Indices would copy the features.
    return source if rows == list(range(len(source))) else source[send([rows], source.image.device)[0]]


def _take_images(images: Tensor, rows: list[int]) -> Tensor:
    return images if rows == list(range(len(images))) else images[send([rows], images.device)[0]]


def _like(animated: Animated, images: Tensor, value_range: Range) -> Animated:
    return Animated(
        from_unit(animated.image, images, value_range),
        animated.flow.to(images.device, torch.float32),
        animated.occlusion.to(images.device, torch.float32),
    )


class _Moved(NamedTuple):
    """Rows that were animated in one pass."""

    rows: list[int]
    animated: Animated
    keypoints: Keypoints
    fitting: Fitting


def _gather(images: Tensor, copies: int, params: Sequence[MotionParams], moved: Sequence[_Moved]) -> MotionResult:
    """Join animated and skipped rows in their order."""
    image = images if copies == 1 else images.repeat_interleave(copies, 0)
    if not moved:
        height, width = images.shape[2:]
        flow = identity_grid((max(height // 4, 2), max(width // 4, 2)), device=images.device).expand(
            len(params), -1, -1, -1
        )
        return MotionResult(image, flow, torch.ones_like(flow[..., 0])[:, None], list(params))
    rows = [row for part in moved for row in part.rows]
    new, keypoints = Animated.cat([part.animated for part in moved]), Keypoints.cat([part.keypoints for part in moved])
    if rows != list(range(len(params))):
        new, keypoints = _with_skipped(new, rows, image), _with_unknown(keypoints, rows, len(params))
    image = new.image.contiguous(memory_format=layout(images))
    return make_result(image, new.flow, new.occlusion, params, _reader(params, moved), keypoints)


def _with_skipped(new: Animated, rows: list[int], image: Tensor) -> Animated:
    """Add the rows of skipped images, which do not move."""
    (there,) = send([rows], image.device)
    count, grid = len(image), identity_grid((new.flow.shape[1], new.flow.shape[2]), device=new.flow.device)
    return Animated(
        _scatter(image, there, new.image),
        _scatter(grid.expand(count, -1, -1, -1), there, new.flow),
        _scatter(new.occlusion.new_ones(count, *new.occlusion.shape[1:]), there, new.occlusion),
    )


def _with_unknown(keypoints: Keypoints, rows: list[int], count: int) -> Keypoints:
    """Add rows of NaN for skipped images, whose keypoints were not detected."""
    (there,) = send([rows], keypoints.value.device)

    def scattered(part: Tensor) -> Tensor:
        return _scatter(part.new_full((count, *part.shape[1:]), torch.nan), there, part)

    return Keypoints(scattered(keypoints.value), None if keypoints.jacobian is None else scattered(keypoints.jacobian))


def _reader(params: Sequence[MotionParams], moved: Sequence[_Moved]) -> Callable[[], list[MotionParams]]:
    """Begin to read the settled numbers; the returned function waits for them, and settles the parameters."""
    sizes = [len(part.fitting.numbers) for part in moved]
    numbers = Readback(_join([part.fitting.numbers for part in moved])) if any(sizes) else None
    steps = [(part.rows, part.fitting.settle) for part in moved]  # the images need not stay in memory

    def read() -> list[MotionParams]:
        settled, values = list(params), numbers.values() if numbers else []
        start = 0
        for (rows, settle), size in zip(steps, sizes, strict=True):
            for row, param in zip(rows, settle(values[start : start + size]), strict=True):
                settled[row] = param
            start += size
        return settled

    return read


def _join(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _scatter(base: Tensor, rows: Tensor, values: Tensor) -> Tensor:
    whole = base.clone()
    whole[rows] = values
    return whole


def _mirror_rows(result: MotionResult, params: Sequence[MotionParams]) -> MotionResult:
    """Mirror the rows with mirrored parameters, and the flow and the occlusion that move their labels.

    Args:
        result: result of the parameters.
        params: parameters before they were fitted, which are known without waiting for a device.
    """
    mirrored = [param.mirrored and not param.skipped for param in params]
    if not any(mirrored):
        return result

    def flipped(values: Tensor, axis: int) -> Tensor:
        rows = torch.tensor(mirrored, device=values.device).view(-1, *[1] * (values.ndim - 1))
        return torch.where(rows, values.flip(axis), values)

    image = flipped(result.image, 3).contiguous(memory_format=layout(result.image))
    flow, occlusion = flipped(result.flow, 2), flipped(result.occlusion, 3)
    return make_result(image, flow, occlusion, params, lambda: result.params, result.keypoints)
