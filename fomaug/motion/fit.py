"""Fit motion parameters to faces: everything that depends on the source, and nothing random."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fomaug.device import send, wait_for
from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError, PoolError, did_you_mean
from fomaug.geometry import Measures, hull_areas, inverse_jacobian, scaled, shape_distance
from fomaug.motion.params import MotionParams
from fomaug.motion.targets import Fitted, Fitting, find_targets, fit_views
from fomaug.types import Keypoints

# Frames nearer to the driving frame than this share of the track's largest distance are no "moving" reference.
_MOVING = 0.25


class Columns(NamedTuple):
    """The frames of N draws among all frames of a pool, as lists or as tensors (N,).

    Attributes:
        tracks: number of each track.
        starts: first row of each track.
        driving: row of each driving frame.
        given: row of each reference frame; any row if it depends on the source.
        chosen: whether the reference frame depends on the source.
        moving: whether the reference is "moving".
    """

    tracks: Any
    starts: Any
    driving: Any
    given: Any
    chosen: Any
    moving: Any


class Gathered(NamedTuple):
    """The frames of N draws.

    Attributes:
        driving: keypoints of the driving frames.
        reference: keypoints of the reference frames.
        numbers: (N,) number of each reference frame in its track.
        measures: facts of the sources and the reference frames.
    """

    driving: Keypoints
    reference: Keypoints
    numbers: Tensor
    measures: Measures


class PoolFrames:
    """The keypoints of every frame of every track, and everything that follows from them alone.

    Args:
        pool: driving pool.
        device: device of the frames.
    """

    def __init__(self, pool: DrivingPool, device: torch.device) -> None:
        lengths = [len(track.keypoints) for track in pool.tracks]
        starts = torch.tensor([0, *lengths]).cumsum(0).tolist()
        keypoints = Keypoints.cat([track.keypoints for track in pool.tracks]).to(device, torch.float32)
        self._tracks = {track.name: number for number, track in enumerate(pool.tracks)}
        self._hashes = [track.clip_hash for track in pool.tracks]
        self._starts, self._lengths = starts, lengths
        self._owner = torch.repeat_interleave(torch.tensor(lengths)).to(device)  # (F,)
        poses = [track.poses.to(device, torch.float32) for track in pool.tracks]
        self._poses = torch.cat(poses)  # (F, K, 2)
        self._near = torch.cat([_MOVING * shape_distance(pose, pose).amax(1, keepdim=True) for pose in poses])  # (F, 1)
        # On a CPU, the sizes of all frames take longer than those of the frames that are used.
        self._sizes = None if device.type == "cpu" else hull_areas(keypoints.value).sqrt()  # (F,)
        self._table = _table(keypoints)

    def rows(self, params: Sequence[MotionParams]) -> Columns:
        """Find the frames of N draws among all frames of the pool."""
        tracks = [self._track(param) for param in params]
        starts = [self._starts[track] for track in tracks]
        pairs = list(zip(starts, params, strict=True))
        return Columns(
            tracks,
            starts,
            [start + param.frame for start, param in pairs],
            [start if isinstance(param.reference, str) else start + param.reference for start, param in pairs],
            [isinstance(param.reference, str) for param in params],
            [param.reference == "moving" for param in params],
        )

    def gather(self, params: Sequence[MotionParams], columns: Columns, source: Keypoints) -> Gathered:
        """Find the driving and reference keypoints of N draws.

        Args:
            params: N draws.
            columns: result of `rows`, on the device of the frames.
            source: keypoints of the N images, on which the reference frames depend that are not settled.
        """
        chosen = [isinstance(param.reference, str) for param in params]
        shapes, sizes = _measure(source.value, posed=any(chosen))
        references = columns.given
        if shapes is not None:
            asked = any(param.reference == "moving" for param in params)
            closest = self._closest(columns, shapes, moving=asked)
            references = closest if all(chosen) else torch.where(columns.chosen, closest, references)
        driving, table = _keypoints(self._table[columns.driving]), self._table[references]
        reference = _keypoints(table)
        own = hull_areas(reference.value).sqrt() if self._sizes is None else self._sizes[references]
        return Gathered(driving, reference, references - columns.starts, Measures(sizes / own, _matrices(table, 6)))

    def _closest(self, columns: Columns, shapes: Tensor, *, moving: bool) -> Tensor:
        """Return the rows in which the driving faces are posed most like the sources."""
        elsewhere = self._owner != columns.tracks[:, None]  # (N, F)
        if moving:
            motion = shape_distance(self._poses[columns.driving], self._poses)
            elsewhere |= (motion < self._near[columns.driving]) & columns.moving[:, None]
        away = shape_distance(shapes.to(self._poses), self._poses)
        return away.masked_fill(elsewhere, torch.inf).argmin(1)

    def _track(self, param: MotionParams) -> int:
        track = self._tracks.get(param.clip)
        if track is None:
            raise PoolError(
                f"the motion parameters name clip {param.clip!r}, which is not in this pool"
                f"{did_you_mean(param.clip, self._tracks)}"
            )
        if param.clip_hash != self._hashes[track]:
            raise PoolError(
                f"clip {param.clip!r} of this pool differs from the clip that the motion parameters were drawn from"
            )
        length = self._lengths[track]
        reference = 0 if isinstance(param.reference, str) else param.reference
        if not (0 <= param.frame < length and 0 <= reference < length):
            raise ArgumentError(
                f"clip {param.clip!r} has frames 0 to {length - 1}, but the motion parameters name frame "
                f"{param.frame} and reference {param.reference}"
            )
        return track


def _table(keypoints: Keypoints) -> Tensor:
    """Join points, jacobians and inverse jacobians to (F, K, 10), or (F, K, 2) without jacobians: one row a frame."""
    if keypoints.jacobian is None:
        return keypoints.value
    inverse = inverse_jacobian(keypoints)
    assert inverse is not None
    return torch.cat([keypoints.value, keypoints.jacobian.flatten(2), inverse.flatten(2)], 2)


def _keypoints(table: Tensor) -> Keypoints:
    return Keypoints(table[..., :2], _matrices(table, 2))


def _matrices(table: Tensor, start: int) -> Tensor | None:
    return None if table.shape[2] == 2 else table[..., start : start + 4].view(*table.shape[:2], 2, 2)


def _measure(value: Tensor, *, posed: bool) -> tuple[Tensor | None, Tensor]:
    """Compute the poses (N, K, 2) of faces, see `normalise`, and their sizes (N,): the roots of their hulls' areas."""
    if not posed:
        return None, hull_areas(value).sqrt()
    # One call for the points and the centred points is faster. Only the sizes have a gradient.
    centred = value.detach() - value.detach().mean(1, keepdim=True)
    sizes = hull_areas(torch.cat([centred, value])).sqrt()
    count = len(value)
    return scaled(centred, sizes[:count].detach()), sizes[count:]


def pool_frames(pool: DrivingPool, device: torch.device) -> PoolFrames:
    """Return the frames of a pool on a device; the result is cached by the content of the pool."""
    return _cached(pool, device)


@lru_cache(maxsize=8)
def _cached(pool: DrivingPool, device: torch.device) -> PoolFrames:
    frames = PoolFrames(pool, device)
    wait_for(device)
    return frames


def fit(
    params: Sequence[MotionParams], keypoints: Keypoints, pool: DrivingPool, keypoint_names: Sequence[str]
) -> Fitted:
    """Choose the reference frames, limit the strengths and compute the target keypoints of N faces.

    A row depends only on its own face. A row whose reference is a frame number is settled, and is not changed. In the
    other rows, a strength is reduced if it would show a side that the source hides; other strengths are not changed by
    a bit. Views are not reduced, but replaced if they would show a side that the source hides, see `View`.

    Args:
        params: N draws, one for each face; boxes and further faces are ignored.
        keypoints: keypoints of the N faces.
        pool: driving pool that the parameters were drawn from.
        keypoint_names: names of the K keypoints; without names there is no bound, and no region but "all".

    Raises:
        PoolError: the pool lacks a clip, or has another one with its name.
        ArgumentError: the clip lacks the frame.
    """
    fitting = begin_fit(params, keypoints, pool, keypoint_names)
    return Fitted(fitting.target, fitting.settle(fitting.numbers.tolist()))


def begin_fit(
    params: Sequence[MotionParams], keypoints: Keypoints, pool: DrivingPool, keypoint_names: Sequence[str]
) -> Fitting:
    """Do as `fit`, but read nothing from the device: see `Fitting` for the settled parameters."""
    views = [row for row, param in enumerate(params) if param.view is not None]
    if not views:
        return _fit_motions(params, keypoints, pool, keypoint_names)
    if len(views) == len(params):
        return fit_views(params, keypoints, keypoint_names)
    motions = [row for row, param in enumerate(params) if param.view is None]
    order = [*views, *motions]
    back = sorted(range(len(order)), key=order.__getitem__)
    of_views, of_motions, there = send([views, motions, back], keypoints.value.device)
    first = fit_views([params[row] for row in views], keypoints[of_views], keypoint_names)
    second = _fit_motions([params[row] for row in motions], keypoints[of_motions], pool, keypoint_names)

    def settle(numbers: Sequence[float]) -> list[MotionParams]:
        middle = len(first.numbers)
        settled = [*first.settle(numbers[:middle]), *second.settle(numbers[middle:])]
        return [settled[row] for row in back]

    target = Keypoints.cat([first.target, second.target])[there]
    return Fitting(target, torch.cat([first.numbers, second.numbers]), settle)


def _fit_motions(
    params: Sequence[MotionParams], keypoints: Keypoints, pool: DrivingPool, keypoint_names: Sequence[str]
) -> Fitting:
    """Fit draws from clips."""
    frames = pool_frames(pool, keypoints.value.device)
    strengths = [float(param.strength) for param in params]
    fixed = [param.settled or not param.relative for param in params]
    *columns, strength, free = send([*frames.rows(params), strengths, fixed], keypoints.value.device)
    gathered = frames.gather(params, Columns(*columns), keypoints)
    strength = strength.to(keypoints.value.dtype)
    triple = keypoints, gathered.driving, gathered.reference
    found = find_targets(params, triple, strength, free, keypoint_names, gathered.measures)
    if all(param.settled for param in params):
        return Fitting(found.target, strength[:0], lambda _: list(params))
    numbers = torch.stack([gathered.numbers.to(strength.dtype), found.share, found.taken])

    def settle(values: Sequence[float]) -> list[MotionParams]:
        count = len(params)
        rows = zip(params, values[:count], values[count : 2 * count], values[2 * count :], strict=True)
        return [p.settle(int(number), p.strength if share == 1 else taken) for p, number, share, taken in rows]

    return Fitting(found.target, numbers.flatten(), settle)
