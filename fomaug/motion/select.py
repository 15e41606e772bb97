"""Selections of driving frames for sources: pure functions, and copy c does not depend on the number of copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError
from fomaug.motion.numbers import FRAME, Hashes, uniform
from fomaug.motion.space import Array, MotionSpace, motion_space, on_grid
from fomaug.motion.spread import Bins, Candidates, Rows, cover, make_bins, spread_frames
from fomaug.options import Interval


@dataclass(frozen=True, eq=False)
class DrawableFrames:
    """The frames of a pool that may be drawn.

    Attributes:
        space: motion space of the pool.
        rows: (R,) row of each frame in the space; their tracks have a weight above 0.
        odds: (R,) cumulated weights; the frames of a track share its weight equally.
        moving: frames with motion, and their weights.
        bins: the views of the frames, if all frames are views; otherwise None.
    """

    space: MotionSpace
    rows: Rows
    odds: Array
    moving: Candidates
    bins: Bins | None = None


Selector = Callable[[DrawableFrames, Hashes, int], Rows]

STILL: Final = 0.25  # share of the pool's larger motions below which a frame counts as near-still

_SELECTORS: dict[str, Selector] = {}


def _register(name: str) -> Callable[[Selector], Selector]:
    def add(selector: Selector) -> Selector:
        if name in _SELECTORS:
            raise ArgumentError(f"selection {name!r} is registered already")
        _SELECTORS[name] = selector
        return selector

    return add


def select(name: str, frames: DrawableFrames, hashes: Hashes, count: int) -> Rows:
    """Choose frames for copies 0 to count - 1 of each source.

    Args:
        name: name of the selection.
        frames: frames to choose from.
        hashes: (B, 2) hashes of the sources' keys.
        count: number of copies.

    Returns:
        (B, count) rows of the space.
    """
    return _SELECTORS[name](frames, hashes, count)


def drawable_frames(pool: DrivingPool, yaw_range: Interval | None, pitch_range: Interval | None) -> DrawableFrames:
    """Return the frames of a pool that may be drawn; the result is cached by the content of the pool."""
    return _cached(pool, yaw_range and tuple(yaw_range), pitch_range and tuple(pitch_range))


@lru_cache(maxsize=8)
def _cached(pool: DrivingPool, yaw_range: Interval | None, pitch_range: Interval | None) -> DrawableFrames:
    return restrict_frames(motion_space(pool), yaw_range, pitch_range)


def restrict_frames(space: MotionSpace, yaw_range: Interval | None, pitch_range: Interval | None) -> DrawableFrames:
    """Keep the frames whose head pose is within the ranges (degrees), from tracks with a weight above 0."""
    weighted = space.weight[space.track] > 0
    if not weighted.any():
        raise ArgumentError("every track of the pool has weight 0; give one at least a weight above 0")
    allowed = weighted.copy()
    for angle, interval in ((space.yaw, yaw_range), (space.pitch, pitch_range)):
        if interval is not None:
            allowed &= (angle >= interval[0]) & (angle <= interval[1])
    if not allowed.any():
        drawn = (angle[weighted] for angle in (space.yaw, space.pitch))
        yaw, pitch = ((int(angle.min()), int(angle.max())) for angle in drawn)
        hint = "" if weighted.all() else ", or give tracks of weight 0 a weight"
        raise ArgumentError(
            f"no driving frame has yaw in {yaw_range} and pitch in {pitch_range}: the pool spans yaw {yaw} and pitch "
            f"{pitch}; widen the ranges or add clips{hint}"
        )
    rows = np.flatnonzero(allowed)
    weight, size = _row_weights(space, rows), on_grid(space.size[rows])
    moves = size >= STILL * np.quantile(size, 0.95)
    all_views = space.angles is not None and not np.isnan(space.angles[rows]).any()
    bins = make_bins(space.angles[rows], weight) if space.angles is not None and all_views else None
    return DrawableFrames(space, rows, weight.cumsum(), Candidates(space, rows[moves], weight[moves]), bins)


@_register("uniform")
def uniform_frames(frames: DrawableFrames, hashes: Hashes, count: int) -> Rows:
    """Draw a track by its weight and then one of its frames, independently for every copy."""
    return frames.rows[_indices(frames, uniform(hashes, FRAME, count=count)[0])]


@_register("sequence")
def sequence(frames: DrawableFrames, hashes: Hashes, count: int) -> Rows:
    """Choose consecutive frames of one track, copy after copy, back and forth between its ends."""
    start = _indices(frames, uniform(hashes, FRAME)[0])  # (B, 1)
    track = frames.space.track[frames.rows]
    first, end = (np.searchsorted(track, track[start], side) for side in ("left", "right"))
    period = np.maximum(2 * (end - first - 1), 1)
    step = (start - first + np.arange(count)) % period
    chosen: Rows = frames.rows[first + np.minimum(step, period - step)]
    return chosen


@_register("diverse")
def diverse(frames: DrawableFrames, hashes: Hashes, count: int) -> Rows:
    """Choose each next copy as far as possible from the source and from all copies before it; cover views evenly."""
    if frames.bins is not None:
        return frames.rows[cover(frames.bins, hashes, count)]
    return spread_frames(frames.moving, hashes, count)


def _indices(frames: DrawableFrames, share: Array) -> Rows:
    """Return the indices in `frames.rows` at shares of the cumulated weights."""
    found: Rows = np.searchsorted(frames.odds, share * frames.odds[-1], side="right")
    return np.minimum(found, len(frames.rows) - 1)


def _row_weights(space: MotionSpace, rows: Rows) -> Array:
    """Divide each track's weight equally among its frames."""
    track = space.track[rows]
    weight: Array = space.weight[track] / np.bincount(track, minlength=len(space.weight))[track]
    return weight
