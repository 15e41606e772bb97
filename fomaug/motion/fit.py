"""Fit motion parameters to the faces that are to move: everything that depends on the source, and nothing random."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError, PoolError, did_you_mean
from fomaug.geometry import normalise, shape_distance
from fomaug.motion.params import MotionParams
from fomaug.motion.targets import Fitted, find_targets
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

    def gather(self, params: Sequence[MotionParams], source: Keypoints) -> tuple[Keypoints, Keypoints, list[int]]:
        """Find the driving and reference keypoints of N draws.

        Args:
            params: N draws.
            source: keypoints of the N images, which decide the reference frames that are not settled.

        Returns:
            Driving keypoints, reference keypoints (N each), and the number of each reference frame.
        """
        tracks = [self._track(param) for param in params]
        starts = [self._starts[track] for track in tracks]
        driving = [start + param.frame for start, param in zip(starts, params, strict=True)]
        references = self._references(params, driving, source)
        numbers = [row - start for row, start in zip(references, starts, strict=True)]
        return self._rows(driving), self._rows(references), numbers

    def _references(self, params: Sequence[MotionParams], driving: Sequence[int], source: Keypoints) -> list[int]:
        if all(param.settled for param in params):
            closest = list(driving)
        else:
            moving = [param.reference == "moving" for param in params]
            closest = self._closest(torch.tensor(driving), torch.tensor(moving), source)
        return [
            found if isinstance(param.reference, str) else row - param.frame + param.reference
            for param, row, found in zip(params, driving, closest, strict=True)
        ]

    def _closest(self, driving: Tensor, moving: Tensor, source: Keypoints) -> list[int]:
        """Return the rows in which the driving faces are posed most like the sources."""
        driving, moving = driving.to(self._owner.device), moving.to(self._owner.device)
        elsewhere = self._owner != self._owner[driving][:, None]  # (N, F)
        if bool(moving.any()):
            motion = shape_distance(self._poses[driving], self._poses).masked_fill(elsewhere, 0)
            near = motion < _MOVING * motion.amax(1, keepdim=True)
            elsewhere |= near & moving[:, None]
        away = shape_distance(normalise(source.value.detach().to(self._poses)), self._poses)
        rows: list[int] = away.masked_fill(elsewhere, torch.inf).argmin(1).tolist()
        return rows

    def _rows(self, rows: Sequence[int]) -> Keypoints:
        return self.keypoints[torch.tensor(rows).to(self.keypoints.value.device)]

    def _track(self, param: MotionParams) -> int:
        track = self._tracks.get(param.clip)
        if track is None:
            raise PoolError(
                f"the motion parameters name clip {param.clip!r}, which this pool does not hold"
                f"{did_you_mean(param.clip, self._tracks)}"
            )
        if param.clip_hash != self._hashes[track]:
            raise PoolError(
                f"clip {param.clip!r} of this pool is another one than the motion parameters were drawn from"
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
    """Choose the reference frames, bound the strengths and work out the target keypoints of N faces.

    A row depends on its own face alone. A row whose reference is a frame number is settled, and is used as it is. In
    the other rows the strength is reduced where all of it would show what the source hides; unbounded strengths are
    returned bit for bit. Views are taken whole, or replaced where the source hides what they would show, see `View`.

    Args:
        params: N draws, one for each face; boxes and further faces are ignored.
        keypoints: keypoints of the N faces.
        pool: driving pool that the parameters were drawn from.
        keypoint_names: names of the K keypoints; without names there is no bound, and no region but "all".

    Raises:
        PoolError: the pool does not hold a clip, or holds another one of that name.
        ArgumentError: the clip has no such frame.
    """
    views = [row for row, param in enumerate(params) if param.view is not None]
    if not views:
        return _fit_motions(params, keypoints, pool, keypoint_names)
    motions = [row for row, param in enumerate(params) if param.view is None]
    parts = [fit_views([params[row] for row in views], keypoints[views], keypoint_names)]
    if motions:
        parts.append(_fit_motions([params[row] for row in motions], keypoints[motions], pool, keypoint_names))
    order = [*views, *motions]
    back = sorted(range(len(order)), key=order.__getitem__)
    settled = [param for part in parts for param in part.params]
    return Fitted(Keypoints.cat([part.target for part in parts])[back], [settled[row] for row in back])


def _fit_motions(
    params: Sequence[MotionParams], keypoints: Keypoints, pool: DrivingPool, keypoint_names: Sequence[str]
) -> Fitted:
    """Fit draws from clips."""
    driving, reference, numbers = pool_frames(pool, keypoints.value.device).gather(params, keypoints)
    strength = torch.tensor([param.strength for param in params]).to(keypoints.value)
    bounded = torch.tensor([param.relative and not param.settled for param in params]).to(strength.device)
    target, share = find_targets(params, (keypoints, driving, reference), strength, bounded, keypoint_names)
    taken = [
        param.strength if is_full else bounded_strength
        for param, is_full, bounded_strength in zip(
            params, (share == 1).tolist(), (strength * share).tolist(), strict=True
        )
    ]
    settled = [param.settle(number, own) for param, number, own in zip(params, numbers, taken, strict=True)]
    return Fitted(target, settled)
