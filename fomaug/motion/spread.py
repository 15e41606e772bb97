"""Choose frames for sources: all views evenly, or frames far apart, by orders that are computed once for a pool."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomaug.motion.numbers import BLOCK, FRAME, OFFSET, SHIFT, TILT, YAW, Hashes, hash_keys, uniform
from fomaug.motion.space import Array, MotionSpace, on_grid

Rows = NDArray[np.int64]
Lengths = NDArray[np.float32]
CANDIDATES: Final = 384  # frames of a block; enough to spread the copies of a source, and few enough for a table
MIRROR_WEIGHT: Final = 4.0  # weight on the distance to a mirrored motion
_LEAST_BLOCKS, _MOST_BLOCKS = 32, 128  # numbers of blocks of pools with more frames than one block has
_LEAST_STEPS: Final = 8  # length of the shortest table, so that a few more copies do not need another table


@dataclass(frozen=True, eq=False)
class Bins:
    """The V views of a pool's frames; frames of one view differ in their expression.

    Attributes:
        yaws: (Y,) yaws in degrees, each once.
        num_tilts: number T of combinations of pitch and roll.
        yaw: (V,) index of each view's yaw.
        tilt: (V,) index of each view's pitch and roll.
        frames: (R,) indices of the frames, sorted by view.
        starts: (V + 1,) index in `frames` of each view's first frame, and R.
        odds: (R + 1,) cumulated weights of the frames in this order, from 0.
    """

    yaws: Array
    num_tilts: int
    yaw: Rows
    tilt: Rows
    frames: Rows
    starts: Rows
    odds: Array


def make_bins(angles: Array, weight: Array) -> Bins:
    """Sort frames into views.

    Args:
        angles: (R, 3) yaw, pitch and roll in degrees of each frame.
        weight: (R,) weight of each frame.
    """
    views, view = np.unique(angles, axis=0, return_inverse=True)
    yaws, yaw = np.unique(views[:, 0], return_inverse=True)
    tilts, tilt = np.unique(views[:, 1:], axis=0, return_inverse=True)
    frames = np.argsort(view.ravel(), kind="stable")
    starts = np.searchsorted(view.ravel()[frames], np.arange(len(views) + 1))
    odds = np.concatenate([[0.0], weight[frames].cumsum()])
    return Bins(yaws, len(tilts), yaw.ravel(), tilt.ravel(), frames, starts, odds)


def cover(bins: Bins, hashes: Hashes, count: int) -> Rows:
    """Choose the frames of copies 0 to count - 1 of each source, (B, count) indices of frames.

    In each round every yaw comes once, those to the left and to the right in turn, and pitches and rolls are spread
    over the yaws. The expression is drawn by its weight.
    """
    position, shift = _positions(bins.yaws, hashes), _ranks(uniform(hashes, SHIFT, count=len(bins.yaws))[0])
    tilt = _ranks(uniform(hashes, TILT, count=bins.num_tilts)[0])
    turn = (tilt[:, bins.tilt] - shift[:, bins.yaw]) % bins.num_tilts + position[:, bins.yaw]
    order = turn.argsort(1, kind="stable")  # (B, V)
    view = order[:, np.arange(count) % order.shape[1]]
    first, end = bins.starts[view], bins.starts[view + 1]
    low, high = bins.odds[first], bins.odds[end]
    at = low + uniform(hashes, FRAME, count=count)[0] * (high - low)
    index = np.searchsorted(bins.odds, at, side="right") - 1
    chosen: Rows = bins.frames[np.clip(index, first, end - 1)]
    return chosen


def _positions(yaws: Array, hashes: Hashes) -> Array:
    """Return the position (B, Y) in [0, 1) of each yaw in a round; left and right alternate if there are as many."""
    number = uniform(hashes, YAW, count=len(yaws))[0]
    left, frontal, start = uniform(hashes, OFFSET, count=3)[0].T
    position: Array = np.empty_like(number)
    for side, offset in ((1.0, left), (-1.0, (left + 0.5) % 1.0), (0.0, frontal)):
        own = np.sign(yaws) == side
        position[:, own] = (_ranks(number[:, own]) + offset[:, None]) / max(int(own.sum()), 1)
    # Each round is a circle, entered anywhere, so that the first copy shows each yaw equally often.
    first = (start * len(yaws)).astype(np.int64)
    entered: Array = (_ranks(position) + first[:, None]) % len(yaws) / len(yaws)
    return entered


def _ranks(numbers: Array) -> Rows:
    """Return the rank of each number in its row: a random permutation."""
    ranks: Rows = numbers.argsort(1, kind="stable").argsort(1, kind="stable")
    return ranks


@dataclass(frozen=True, eq=False)
class Candidates:
    """The moving frames of a pool, and samples of them, the blocks; the frames of a source are from one block.

    Attributes:
        space: motion space of the pool.
        rows: (M,) rows of the moving frames in the space.
        weight: (M,) weight of each frame; the frames of a track share its weight.
    """

    space: MotionSpace
    rows: Rows
    weight: Array

    @property
    def num_blocks(self) -> int:
        """Number of blocks."""
        count = len(self.rows)
        return 1 if count <= CANDIDATES else min(max(_LEAST_BLOCKS, 2 * count // CANDIDATES), _MOST_BLOCKS)

    def block(self, number: int) -> Rows:
        """Return the indices of a block's frames: all frames of a small pool, otherwise a sample by weight."""
        if self.num_blocks == 1:
            return np.arange(len(self.rows))
        cumulated = self.weight.cumsum()
        at = uniform(hash_keys([number]), FRAME, count=CANDIDATES)[0, 0] * cumulated[-1]
        return np.unique(np.searchsorted(cumulated, at, side="right").clip(max=len(self.rows) - 1))


@dataclass(frozen=True, eq=False)
class Orders:
    """The farthest-first orders of one block.

    Attributes:
        rows: (C,) rows of the block's frames in the space.
        odds: (C,) cumulated probabilities of each frame to be the first one.
        order: (C, steps) indices in `rows`: the order that begins with each frame.
    """

    rows: Rows
    odds: Array
    order: Rows


def spread_frames(candidates: Candidates, hashes: Hashes, count: int) -> Rows:
    """Choose frames far from the source and from one another, (B, count) rows of the space.

    The first frame is drawn at random; otherwise copy 0 of every source would show the pool's most extreme frame. The
    others follow from it.
    """
    share, block_share = uniform(hashes, FRAME, BLOCK)[..., 0]
    block = (block_share * candidates.num_blocks).astype(np.int64)
    chosen = np.empty((len(hashes), count), np.int64)
    for number in np.unique(block).tolist():
        own = np.flatnonzero(block == number)
        orders = _orders(candidates, number, _steps(count))
        first = np.searchsorted(orders.odds, share[own] * orders.odds[-1], side="right")
        first = np.minimum(first, len(orders.rows) - 1)
        columns = np.arange(count) % orders.order.shape[1]
        chosen[own] = orders.rows[orders.order[first][:, columns]]
    return chosen


def _steps(count: int) -> int:
    """Round the number of copies up, so that few tables suffice for all numbers; one copy needs no distances."""
    return 1 if count == 1 else max(_LEAST_STEPS, 1 << (count - 1).bit_length())


@lru_cache(maxsize=2 * _MOST_BLOCKS)
def _orders(candidates: Candidates, number: int, steps: int) -> Orders:
    chosen = candidates.block(number)
    rows, space = candidates.rows[chosen], candidates.space
    size = on_grid(space.size[rows])
    odds = (np.square(size) * candidates.weight[chosen]).cumsum()
    return Orders(rows, odds, _farthest_first(space, rows, size, min(steps, len(rows))))


def _farthest_first(space: MotionSpace, rows: Rows, size: Array, steps: int) -> Rows:
    """Order frames so that each is far from the source and from all frames before it, above all from the nearest.

    Frames are weighted by D'Hondt quotients: the weight of the track, divided by one more than the number of frames
    already chosen from it. Otherwise one lively clip would dominate. All C orders, one from each first frame, are
    computed together.
    """
    order = np.empty((len(rows), steps), np.int64)
    order[:, 0] = np.arange(len(rows))
    if steps == 1:
        return order
    apart, nearer = _distances(space, rows)
    track = space.track[rows]
    weight = space.weight[track].astype(np.float32)
    same = (track[:, None] == track).astype(np.float32)
    taken = np.ones_like(apart)  # one more than the number of frames already chosen from each candidate's track
    nearest = np.tile(size.astype(np.float32), (len(rows), 1))
    total = nearest.copy()
    for step in range(1, steps):
        last = order[:, step - 1]
        taken += same[last]
        np.minimum(nearest, nearer[last], out=nearest)
        total += apart[last]
        order[:, step] = (nearest * total * weight / taken).argmax(1)
    return order


def _distances(space: MotionSpace, rows: Rows) -> tuple[Lengths, Lengths]:
    """Compute the distances (C, C) of frames, and the minima of these and the distances to the mirrored frames."""
    motion, mirrored = space.motion[rows], space.mirrored[rows]
    apart = on_grid(_root_mean_square(motion, motion))
    mirror_apart = on_grid(MIRROR_WEIGHT * _root_mean_square(motion, mirrored))
    return apart.astype(np.float32), np.minimum(apart, mirror_apart).astype(np.float32)


def _root_mean_square(starts: Array, ends: Array) -> Array:
    square = np.square(starts).sum(1)[:, None] + np.square(ends).sum(1) - 2 * starts @ ends.T
    length: Array = np.sqrt(square.clip(0) / starts.shape[1])
    return length
