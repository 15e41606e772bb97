"""Selections of driving frames for a source: pure functions, and copy c does not depend on the number of copies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError
from fomaug.motion.space import Array, MotionSpace, motion_space
from fomaug.options import Interval

Word = str | int


def named_rng(*words: Word) -> np.random.Generator:
    """Return the generator of some words: the same in every process and on every machine.

    The words are hashed as JSON, so ("a", "bc") and ("ab", "c"), 1 and "1" give different generators.

    >>> named_rng(0, "face.jpg", 1).random() == named_rng(0, "face.jpg", 1).random()
    True
    """
    digest = hashlib.sha256(json.dumps(words).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))


Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DrawableFrames:
    """The frames of a pool that may be drawn.

    Attributes:
        space: motion space of the pool.
        rows: (R,) row of each frame in the space; their tracks have a weight above 0.
        odds: (R,) cumulated weights; the frames of a track share its weight equally.
        moving: (M,) rows of the frames that move at all.
        weight: (M,) weights of the moving frames.
    """

    space: MotionSpace
    rows: Rows
    odds: Array
    moving: Rows
    weight: Array


Selector = Callable[[DrawableFrames, int, tuple[Word, ...]], Rows]

CANDIDATES: Final = 384  # frames sampled for one source: enough to spread its copies, few enough to be quick
STILL: Final = 0.25  # share of the pool's larger motions below which a frame counts as near-still
MIRROR_WEIGHT: Final = 4.0  # weight on the distance to a mirrored motion

_SELECTORS: dict[str, Selector] = {}


def _register(name: str) -> Callable[[Selector], Selector]:
    def add(selector: Selector) -> Selector:
        if name in _SELECTORS:
            raise ArgumentError(f"selection {name!r} is registered already")
        _SELECTORS[name] = selector
        return selector

    return add


def select(name: str, frames: DrawableFrames, count: int, words: tuple[Word, ...]) -> Rows:
    """Choose frames for copies 0 to count - 1 of one source.

    Args:
        name: name of the selection.
        frames: frames to choose from.
        count: number of copies.
        words: words that seed the generators of this source.

    Returns:
        (count,) rows of the space.
    """
    return _SELECTORS[name](frames, count, words)


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
    weight, size = _row_weights(space, rows), space.size[rows]
    moves = size >= STILL * np.quantile(size, 0.95)
    return DrawableFrames(space, rows, weight.cumsum(), rows[moves], weight[moves])


@_register("uniform")
def uniform(frames: DrawableFrames, count: int, words: tuple[Word, ...]) -> Rows:
    """Draw a track by its weight and then one of its frames, independently for every copy."""
    return np.array([_one_frame(frames, named_rng("uniform", *words, copy)) for copy in range(count)])


@_register("sequence")
def sequence(frames: DrawableFrames, count: int, words: tuple[Word, ...]) -> Rows:
    """Take consecutive frames of one track, copy after copy, to and fro between its ends."""
    start = _one_frame(frames, named_rng("sequence", *words))
    track = frames.space.track[frames.rows]
    run = frames.rows[track == frames.space.track[start]]
    period = max(2 * (len(run) - 1), 1)
    step = (np.searchsorted(run, start) + np.arange(count)) % period
    chosen: Rows = run[np.minimum(step, period - step)]
    return chosen


@_register("diverse")
def diverse(frames: DrawableFrames, count: int, words: tuple[Word, ...]) -> Rows:
    """Choose each next copy as far as possible from the source and from all copies before it."""
    rng = named_rng("diverse", *words)
    rows = _candidates(frames, rng)
    order = _farthest_first(frames.space, rows, min(count, len(rows)), rng)
    chosen: Rows = rows[order[np.arange(count) % len(order)]]
    return chosen


def _one_frame(frames: DrawableFrames, rng: np.random.Generator) -> int:
    index = int(np.searchsorted(frames.odds, rng.random() * frames.odds[-1], side="right"))
    return int(frames.rows[min(index, len(frames.rows) - 1)])


def _row_weights(space: MotionSpace, rows: Rows) -> Array:
    """Divide each track's weight equally among its frames."""
    track = space.track[rows]
    weight: Array = space.weight[track] / np.bincount(track, minlength=len(space.weight))[track]
    return weight


def _candidates(frames: DrawableFrames, rng: np.random.Generator) -> Rows:
    """Sample the moving frames by weight."""
    if len(frames.moving) <= CANDIDATES:
        return frames.moving
    # The smallest of exponential waiting times are a sample by weight without replacement.
    waiting = rng.standard_exponential(len(frames.moving)) / frames.weight
    rows: Rows = frames.moving[np.argpartition(waiting, CANDIDATES)[:CANDIDATES]]
    return np.sort(rows)


def _farthest_first(space: MotionSpace, rows: Rows, count: int, rng: np.random.Generator) -> Rows:
    """Order frames so that each is far from the source and from all frames before it, above all from the nearest.

    Frames are weighted by D'Hondt quotients: the weight of the track, divided by one more than the number of frames
    already chosen from it. Otherwise one lively clip would dominate.
    """
    motion, mirrored, track = space.motion[rows], space.mirrored[rows], space.track[rows]
    weight = space.weight[track]
    taken = np.zeros(len(space.weight))  # frames already chosen from each track
    nearest = space.size[rows]
    total = nearest.copy()
    # The first frame is drawn at random; otherwise copy 0 of every source would show the pool's most extreme frame.
    chance = np.square(nearest) * _row_weights(space, rows)
    order = [int(np.searchsorted(chance.cumsum(), rng.random() * chance.sum()))]
    while len(order) < count:
        last = motion[order[-1]]
        taken[track[order[-1]]] += 1
        apart = np.sqrt(np.square(motion - last).mean(1))
        mirror_apart = MIRROR_WEIGHT * np.sqrt(np.square(mirrored - last).mean(1))
        nearest = np.minimum(nearest, np.minimum(apart, mirror_apart))
        total += apart
        order.append(int((nearest * total * weight / (1 + taken[track])).argmax()))
    return np.array(order)
