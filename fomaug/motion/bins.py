"""Cover views evenly: each source has its own order of all views, which is completed before a view is repeated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fomaug.motion.numbers import FRAME, OFFSET, SHIFT, TILT, YAW, Hashes, uniform
from fomaug.motion.space import Array

Rows = NDArray[np.int64]


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
