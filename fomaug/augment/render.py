"""Apply motion parameters to images: a pure function, nothing random."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final, NamedTuple

import torch
from torch import Tensor

from fomaug.animator import Animator
from fomaug.augment.pixels import Range, check_images, from_unit, layout, mirror_rows, to_unit
from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError, PoolError
from fomaug.faces import MovedFace, Square, compose_motion, flow_cells, put_back, whole_picture
from fomaug.geometry import check_region, identity_grid
from fomaug.motion import MotionParams, MotionResult, fit
from fomaug.types import Animated, Keypoints

# The density is fixed, so that a batch gives the same flow as its singles, and high, as faces may be small.
_CELL_DENSITY: Final = 1 / 2

Animate = Callable[[Tensor, Sequence[MotionParams]], MotionResult]
_MovedFaces = dict[int, tuple[MovedFace, MotionParams]]  # by number of the face


def apply_in_boxes(
    animate: Animate, images: Tensor, params: Sequence[MotionParams], copies: int, value_range: Range
) -> MotionResult:
    """Move the faces of images in their boxes; the rest of an image keeps its pixels.

    Args:
        animate: function that moves whole images; it is called with the squares that are cut out.
        images: (B, C, H, W), uint8 or float in the range; not modified.
        params: B * copies parameters; those without a box move the whole image.
        copies: number of copies of each image.
        value_range: lowest and highest value of float images.

    Returns:
        As `apply`; the flow is that of the whole images, identity outside of the boxes, with a cell for every second
        pixel.
    """
    size = images.shape[2], images.shape[3]
    cells = flow_cells(size, _CELL_DENSITY)
    image = images.repeat_interleave(copies, 0)
    flow = identity_grid(cells, device=images.device).repeat(len(params), 1, 1, 1)
    occlusion = torch.ones(len(params), 1, *cells, device=images.device)
    settled = list(params)
    for row, faces in _animate_faces(animate, images, params, copies).items():
        moved, done = zip(*(faces[number] for number in sorted(faces)), strict=True)
        source = row // copies
        image[row] = put_back(images[source : source + 1], moved, value_range=value_range)[0]
        flow[row], occlusion[row] = (part[0] for part in compose_motion(size, cells, moved))
        settled[row] = _settle(params[row], done)
    return MotionResult(image.contiguous(memory_format=layout(images)), flow, occlusion, settled)


def _animate_faces(
    animate: Animate, images: Tensor, params: Sequence[MotionParams], copies: int
) -> dict[int, _MovedFaces]:
    """Animate the faces of all rows, those of one size together, so that every square is encoded once."""
    size = images.shape[2], images.shape[3]
    uses: dict[tuple[int, Square], list[tuple[int, int, MotionParams]]] = {}  # of a square: row, number and parameters
    for row, param in enumerate(params):
        for number, own in enumerate(() if param.skipped else param.faces):
            alone = replace(own, box=None, others=())
            uses.setdefault((row // copies, _square(own, size)), []).append((row, number, alone))
    groups: dict[tuple[tuple[int, int], int], list[tuple[int, Square]]] = {}
    for image, square in uses:
        groups.setdefault((square.size, len(uses[image, square])), []).append((image, square))
    made: dict[int, _MovedFaces] = {}
    for group in groups.values():
        parts = torch.stack([square.cut(images[image]) for image, square in group])
        rows = [(square, *use) for image, square in group for use in uses[image, square]]
        result = animate(parts, [param for *_, param in rows])
        for index, (square, row, number, _) in enumerate(rows):
            made.setdefault(row, {})[number] = _take(result, index, square)
    return made


def _take(result: MotionResult, index: int, square: Square) -> tuple[MovedFace, MotionParams]:
    one = slice(index, index + 1)
    return MovedFace(square, result.image[one], result.flow[one], result.occlusion[one]), result.params[index]


def _settle(param: MotionParams, done: Sequence[MotionParams]) -> MotionParams:
    first, *others = [own.settle(face.reference, face.strength) for own, face in zip(param.faces, done, strict=True)]
    return replace(first, others=tuple(others))


def _square(param: MotionParams, size: tuple[int, int]) -> Square:
    square = whole_picture(size) if param.box is None else Square(*param.box)
    if not square.lies_in(size):
        raise ArgumentError(
            f"the motion of {param.key!r} is for a face at {param.box}, which an image of {size} does not hold; give "
            "the image it was drawn for"
        )
    return square


@dataclass(frozen=True)
class _Plan:
    """Rows of images that are encoded together, and chunks of results that are animated together."""

    sources: list[int]
    chunks: list[list[int]]


class Rendered(NamedTuple):
    """Animated images, and the keypoints of their sources.

    Attributes:
        result: animated images.
        keypoints: keypoints of each image that was animated as a whole, by its row.
    """

    result: MotionResult
    keypoints: dict[int, Keypoints]


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
    """Move images as their parameters say, see `render`."""
    return render(
        animator,
        pool,
        images,
        params,
        value_range=value_range,
        batch_size=batch_size,
        differentiable=differentiable,
    ).result


def render(
    animator: Animator,
    pool: DrivingPool,
    images: Tensor,
    params: Sequence[MotionParams],
    *,
    value_range: Range = (0.0, 1.0),
    batch_size: int | None = None,
    differentiable: bool = False,
) -> Rendered:
    """Move images as their parameters say; skipped ones stay untouched, bit for bit.

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
    check_images(images, value_range)
    _check_params(animator, params)
    if differentiable and not images.is_floating_point():
        raise ArgumentError("differentiable=True needs float images: gradients do not flow through uint8")
    # Larger batches do not fit the caches of a CPU: 8 is 6 to 10 percent faster than 16.
    size = batch_size or (8 if animator.device.type == "cpu" else 64)

    def animate(images: Tensor, params: Sequence[MotionParams]) -> Rendered:
        return _apply(animator, pool, images, params, (value_range, size), differentiable=differentiable)

    def animate_faces(images: Tensor, params: Sequence[MotionParams]) -> MotionResult:
        return animate(images, params).result

    # Inside a caller's autocast the same parameters would give other pixels than outside.
    with torch.autocast(animator.device.type, enabled=False), torch.autocast(images.device.type, enabled=False):
        if any(param.box is not None and not param.skipped for param in params):
            still = images if differentiable else images.detach()
            return Rendered(mirror_rows(apply_in_boxes(animate_faces, still, params, copies, value_range)), {})
        found = animate(images, params)
        return found._replace(result=mirror_rows(found.result))


def _apply(
    animator: Animator,
    pool: DrivingPool,
    images: Tensor,
    params: Sequence[MotionParams],
    how: tuple[Range, int],
    *,
    differentiable: bool,
) -> Rendered:
    """Move whole images, as many in a pass as `how` allows."""
    copies, params, (value_range, size) = _copies(images, params), list(params), how
    moved = []
    keypoints: dict[int, Keypoints] = {}
    for plan in _plans(params, copies, size):
        unit = to_unit(_take_images(images, plan.sources).to(animator.device), value_range)
        source = animator.encode(unit, differentiable=differentiable)
        keypoints |= {row: source.keypoints[index] for index, row in enumerate(plan.sources)}
        for rows in plan.chunks:
            picked = source[_indices(plan.sources, rows, copies)]
            target, settled = fit([params[row] for row in rows], picked.keypoints, pool, animator.keypoint_names)
            for row, param in zip(rows, settled, strict=True):
                params[row] = param
            animated = animator.animate(picked, target, differentiable=differentiable)
            moved.append((rows, _like(animated, images, value_range)))
    return Rendered(_gather(images, copies, params, moved), keypoints)


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


def _indices(sources: Sequence[int], rows: Sequence[int], copies: int) -> list[int] | slice:
    index = {source: number for number, source in enumerate(sources)}
    found = [index[row // copies] for row in rows]
    # A slice is a view of the features; indices would copy them.
    return slice(None) if found == list(range(len(sources))) else found


def _take_images(images: Tensor, rows: list[int]) -> Tensor:
    return images if rows == list(range(len(images))) else images[rows]


def _like(animated: Animated, images: Tensor, value_range: Range) -> Animated:
    return Animated(
        from_unit(animated.image, images, value_range),
        animated.flow.to(images.device, torch.float32),
        animated.occlusion.to(images.device, torch.float32),
    )


def _gather(
    images: Tensor, copies: int, params: list[MotionParams], moved: Sequence[tuple[list[int], Animated]]
) -> MotionResult:
    """Join animated and skipped rows in their order."""
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
