"""Ways to choose the driving frames of a source's copies: pure, and copy c never depends on how many are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError
from fomaug.motion.cache import ByHash
from fomaug.motion.options import Interval
from fomaug.motion.rng import Word, named_rng
from fomaug.motion.space import Array, MotionSpace, motion_space

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Reach:
    """The frames of a pool that may be drawn.

    Attributes:
        space: of the pool.
        rows: (R,) the frames, as rows of the space; their tracks have a weight.
        odds: (R,) how often each is drawn by its track's weight, the frames of a track alike; cumulated.
        moving: (M,) those of the frames that move at all.
        weight: (M,) their weights.
    """

    space: MotionSpace
    rows: Rows
    odds: Array
    moving: Rows
    weight: Array


Selector = Callable[[Reach, int, tuple[Word, ...]], Rows]

CANDIDATES: Final = 384  # frames that one source chooses from: enough to spread, few enough to be quick
STILL: Final = 0.25  # share of the pool's larger motions below which a frame counts as near-still
MIRROR_WEIGHT: Final = 4.0  # how much farther than it is a mirrored motion seems

_SELECTORS: dict[str, Selector] = {}


def _register(name: str) -> Callable[[Selector], Selector]:
    def add(selector: Selector) -> Selector:
        if name in _SELECTORS:
            raise ArgumentError(f"selection {name!r} is registered already")
        _SELECTORS[name] = selector
        return selector

    return add


def select(name: str, reach: Reach, count: int, words: tuple[Word, ...]) -> Rows:
    """Choose frames for copies 0 to count - 1 of one source.

    Args:
        name: of the selection.
        reach: the frames to choose from.
        count: number of copies.
        words: what names the source, for the generators.

    Returns:
        (count,) rows of the space.
    """
    return _SELECTORS[name](reach, count, words)


def pool_reach(pool: DrivingPool, yaw_range: Interval | None, pitch_range: Interval | None) -> Reach:
    """Return what may be drawn from a pool; worked out once for every content of a pool."""
    return _cached(ByHash(pool), yaw_range and tuple(yaw_range), pitch_range and tuple(pitch_range))


@lru_cache(maxsize=8)
def _cached(key: ByHash, yaw_range: Interval | None, pitch_range: Interval | None) -> Reach:
    return find_reach(motion_space(key.pool), yaw_range, pitch_range)


def find_reach(space: MotionSpace, yaw_range: Interval | None, pitch_range: Interval | None) -> Reach:
    """Take the frames of tracks with a weight whose head pose lies in the ranges (degrees)."""
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
    weight, size = _row_weights(space, rows), space.size[rows]
    moves = size >= STILL * np.quantile(size, 0.95)
    return Reach(space, rows, weight.cumsum(), rows[moves], weight[moves])


@_register("uniform")
def uniform(reach: Reach, count: int, words: tuple[Word, ...]) -> Rows:
    """Draw a track by its weight, then one of its frames, for every copy anew."""
    return np.array([_one_frame(reach, named_rng("uniform", *words, copy)) for copy in range(count)])


@_register("sequence")
def sequence(reach: Reach, count: int, words: tuple[Word, ...]) -> Rows:
    """Take consecutive frames of one track, copy after copy, to and fro between its ends."""
    start = _one_frame(reach, named_rng("sequence", *words))
    track = reach.space.track[reach.rows]
    run = reach.rows[track == reach.space.track[start]]
    period = max(2 * (len(run) - 1), 1)
    step = (np.searchsorted(run, start) + np.arange(count)) % period
    chosen: Rows = run[np.minimum(step, period - step)]
    return chosen


@_register("diverse")
def diverse(reach: Reach, count: int, words: tuple[Word, ...]) -> Rows:
    """Take each next copy as far as possible from the source and from all copies before it."""
    rng = named_rng("diverse", *words)
    rows = _candidates(reach, rng)
    order = _farthest_first(reach.space, rows, min(count, len(rows)), rng)
    chosen: Rows = rows[order[np.arange(count) % len(order)]]
    return chosen


def _one_frame(reach: Reach, rng: np.random.Generator) -> int:
    place = int(np.searchsorted(reach.odds, rng.random() * reach.odds[-1], side="right"))
    return int(reach.rows[min(place, len(reach.rows) - 1)])


def _row_weights(space: MotionSpace, rows: Rows) -> Array:
    """Share each track's weight among its frames."""
    track = space.track[rows]
    weight: Array = space.weight[track] / np.bincount(track, minlength=len(space.weight))[track]
    return weight


def _candidates(reach: Reach, rng: np.random.Generator) -> Rows:
    """Take a weighted sample of the frames that move at all."""
    if len(reach.moving) <= CANDIDATES:
        return reach.moving
    # The smallest of exponential waiting times: sampling by weight, without replacement.
    waiting = rng.standard_exponential(len(reach.moving)) / reach.weight
    rows: Rows = reach.moving[np.argpartition(waiting, CANDIDATES)[:CANDIDATES]]
    return np.sort(rows)


def _farthest_first(space: MotionSpace, rows: Rows, count: int, rng: np.random.Generator) -> Rows:
    """Order frames so that each is far from all before it, the nearest above all; the source itself is the first.

    A frame counts by its track's weight over one more than what the track has given, as parliaments share out seats:
    else one restless clip among calm ones would give most copies.
    """
    motion, mirrored, track = space.motion[rows], space.mirrored[rows], space.track[rows]
    weight = space.weight[track]
    given = np.zeros(len(space.weight))
    nearest = space.size[rows]
    total = nearest.copy()
    # The first is drawn, or copy 0 of every source would show the pool's most extreme frame.
    chance = np.square(nearest) * _row_weights(space, rows)
    order = [int(np.searchsorted(chance.cumsum(), rng.random() * chance.sum()))]
    while len(order) < count:
        last = motion[order[-1]]
        given[track[order[-1]]] += 1
        apart = np.sqrt(np.square(motion - last).mean(1))
        mirror_apart = MIRROR_WEIGHT * np.sqrt(np.square(mirrored - last).mean(1))
        nearest = np.minimum(nearest, np.minimum(apart, mirror_apart))
        total += apart
        order.append(int((nearest * total * weight / (1 + given[track])).argmax()))
    return np.array(order)
