"""Fit motion parameters to faces: everything that depends on the source, and nothing random."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from fomaug.device import send
from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError, PoolError, did_you_mean
from fomaug.geometry import normalise, shape_distance
from fomaug.motion.params import MotionParams
from fomaug.motion.targets import Fitted, Fitting, find_targets
from fomaug.motion.turn import fit_views
from fomaug.types import Keypoints

# Frames nearer to the driving frame than this share of the track's largest distance are no "moving" reference.
_MOVING = 0.25


class PoolFrames:
    """The keypoints of every frame of every track.

    Args:
        pool: driving pool.
        device: device of the frames.
    """

    def __init__(self, pool: DrivingPool, device: torch.device) -> None:
        lengths = [len(track.keypoints) for track in pool.tracks]
        starts = torch.tensor([0, *lengths]).cumsum(0).tolist()
        self.keypoints = Keypoints.cat([track.keypoints for track in pool.tracks]).to(device, torch.float32)
        self._tracks = {track.name: number for number, track in enumerate(pool.tracks)}
        self._hashes = [track.clip_hash for track in pool.tracks]
        self._starts, self._lengths = starts, lengths
        self._owner = torch.repeat_interleave(torch.tensor(lengths)).to(device)  # (F,)
        poses = torch.cat([track.poses for track in pool.tracks])
        self._poses = poses.to(device, torch.float32)  # (F, K, 2)

    def rows(self, params: Sequence[MotionParams]) -> list[list[int]]:
        """Find the frames of N draws among all frames of the pool.

        Returns:
            Four columns of N numbers: the first row of each track, and the rows of the driving frames and of the
            reference frames, the latter -1 if it depends on the source; and whether the reference is "moving".
        """
        tracks = [self._track(param) for param in params]
        starts = [self._starts[track] for track in tracks]
        driving = [start + param.frame for start, param in zip(starts, params, strict=True)]
        given = [
            -1 if isinstance(param.reference, str) else start + param.reference
            for start, param in zip(starts, params, strict=True)
        ]
        return [starts, driving, given, [param.reference == "moving" for param in params]]

    def gather(
        self, params: Sequence[MotionParams], columns: Sequence[Tensor], source: Keypoints
    ) -> tuple[Keypoints, Keypoints, Tensor]:
        """Find the driving and reference keypoints of N draws.

        Args:
            params: N draws.
            columns: the four columns of `rows`, on the device of the frames.
            source: keypoints of the N images, on which the reference frames depend that are not settled.

        Returns:
            Driving keypoints, reference keypoints (N each), and the number (N,) of each reference frame.
        """
        starts, driving, references, moving = columns
        if not all(param.settled for param in params):
            asked = any(param.reference == "moving" for param in params)
            closest = self._closest(driving, moving if asked else None, source)
            references = torch.where(references < 0, closest, references)
        return self.keypoints[driving], self.keypoints[references], references - starts

    def _closest(self, driving: Tensor, moving: Tensor | None, source: Keypoints) -> Tensor:
        """Return the rows in which the driving faces are posed most like the sources."""
        elsewhere = self._owner != self._owner[driving][:, None]  # (N, F)
        if moving is not None:
            motion = shape_distance(self._poses[driving], self._poses).masked_fill(elsewhere, 0)
            near = motion < _MOVING * motion.amax(1, keepdim=True)
            elsewhere |= near & moving[:, None]
        away = shape_distance(normalise(source.value.detach().to(self._poses)), self._poses)
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


def pool_frames(pool: DrivingPool, device: torch.device) -> PoolFrames:
    """Return the frames of a pool on a device; the result is cached by the content of the pool."""
    return _cached(pool, device)


@lru_cache(maxsize=8)
def _cached(pool: DrivingPool, device: torch.device) -> PoolFrames:
    return PoolFrames(pool, device)


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
    bounds = [param.relative and not param.settled for param in params]
    *columns, strength, bounded = send([*frames.rows(params), strengths, bounds], keypoints.value.device)
    driving, reference, numbers = frames.gather(params, columns, keypoints)
    strength = strength.to(keypoints.value.dtype)
    target, share = find_targets(params, (keypoints, driving, reference), strength, bounded, keypoint_names)
    if all(param.settled for param in params):
        return Fitting(target, strength[:0], lambda _: list(params))
    found = torch.stack([numbers.to(strength.dtype), (share == 1).to(strength.dtype), strength * share])

    def settle(values: Sequence[float]) -> list[MotionParams]:
        count = len(params)
        rows = zip(params, values[:count], values[count : 2 * count], values[2 * count :], strict=True)
        return [p.settle(int(number), p.strength if is_full else bounded) for p, number, is_full, bounded in rows]

    return Fitting(target, found.flatten(), settle)
