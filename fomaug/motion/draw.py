"""Draw motion parameters: whether a copy moves and how strongly, and the driving frames that a selection chooses."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import PurePath
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError, shortened
from fomaug.motion.numbers import FRAME, MIRROR, SKIP, STRENGTH, Hashes, Key, hash_keys, uniform
from fomaug.motion.params import MotionParams, Reference
from fomaug.motion.space import Array, MotionSpace, motion_space, on_grid
from fomaug.motion.spread import Bins, Candidates, Rows, cover, make_bins, spread_frames
from fomaug.motion.view import View
from fomaug.options import COPIED, DrawSettings, Interval, whole


def counted_keys(first: int, count: int) -> list[Key]:
    """Number images, with a prefix for each rank and worker so that processes never share keys.

    The prefix of a worker holds its seed, which the DataLoader draws anew for every pass. So no worker repeats the
    draws of another one or its own of the last epoch, and a seeded DataLoader repeats its run.

    >>> counted_keys(4, 2)
    [4, 5]
    """
    prefix = _rank_prefix() + _worker_prefix()
    return [f"{prefix}{number}" if prefix else number for number in range(first, first + count)]


def _rank_prefix() -> str:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return ""
    return f"rank {torch.distributed.get_rank()} " if torch.distributed.get_world_size() > 1 else ""


def _worker_prefix() -> str:
    worker = get_worker_info()
    return "" if worker is None else f"worker {worker.seed} "


def draw(
    pool: DrivingPool,
    settings: DrawSettings,
    keys: Sequence[Key],
    *,
    copies: int = 1,
    epoch: int = 0,
    face: int = 0,
) -> list[MotionParams]:
    """Draw the motion of every copy of every image.

    A draw depends on (seed, key, face, copy, epoch, pool, model) and on the settings, and not on the other draws, their
    order or number, the process or the device.

    Args:
        pool: driving pool; its hashes are part of the draw.
        settings: settings of the draw.
        keys: names of the B images.
        copies: number of draws for each image.
        epoch: number of the pass over the data.
        face: index of the face in each image. The draw of face 0 skips or mirrors the whole
            image; other faces always move.

    Returns:
        B * copies parameters, all copies of the first image first.
    """
    copies, epoch, face = whole("copies", copies, 1), whole("epoch", epoch), whole("face", face, 0)
    frames = drawable_frames(pool, settings.yaw_range, settings.pitch_range)
    names = plain_keys(keys)
    if not names:
        return []
    hashes = hash_keys(names, settings.seed, epoch, pool.hash, pool.model_hash, face)
    rests, strength = _chances(settings, hashes, copies, 1.0 if face else settings.p)
    rows = select(settings.selection, frames, hashes, copies).ravel().tolist()
    origin = {"epoch": epoch, "seed": settings.seed, "pool_hash": pool.hash, "model_hash": pool.model_hash}
    moved = {row: {**origin, "face": face, **_of_row(pool, settings, frames.space, row)} for row in set(rows)}
    at_rest: dict[str, Any] = {**origin, "skipped": True, "strength": 0.0}
    mirrors = _mirrors(hashes, settings, copies, 0.0 if face else settings.mirror_probability)
    names_and_copies = product(names, range(copies))
    return [
        MotionParams(key=key, copy=copy, **at_rest)
        if skipped
        else MotionParams(key=key, copy=copy, strength=share, mirrored=mirrored, **moved[row])
        for (key, copy), skipped, share, mirrored, row in zip(
            names_and_copies, rests.ravel().tolist(), strength.ravel().tolist(), mirrors, rows, strict=True
        )
    ]


def _chances(settings: DrawSettings, hashes: Hashes, copies: int, p: float) -> tuple[NDArray[np.bool_], Array]:
    """Decide (B, copies) whether a copy is skipped, and its strength; the frames of a sequence share both."""
    count = 1 if settings.selection == "sequence" else copies
    low, high = settings.strength_range
    skip, share = uniform(hashes, SKIP, STRENGTH, count=count)
    skip, share = (np.repeat(part, copies // count, axis=1) for part in (skip, share))
    return skip >= p, low + share * (high - low)


def _mirrors(hashes: Hashes, settings: DrawSettings, copies: int, probability: float) -> list[bool]:
    """Decide for each of the B * copies whether it is mirrored; the frames of a sequence are all mirrored or none."""
    if not probability:
        return [False] * (len(hashes) * copies)
    count = 1 if settings.selection == "sequence" else copies
    (chance,) = uniform(hashes, MIRROR, count=count)
    mirrors: list[bool] = (np.repeat(chance, copies // count, axis=1) < probability).ravel().tolist()
    return mirrors


def _of_row(pool: DrivingPool, settings: DrawSettings, space: MotionSpace, row: int) -> dict[str, Any]:
    """Return the parameters that all draws of a frame share."""
    track, frame = pool.tracks[int(space.track[row])], int(space.frame[row])
    view = None if track.angles is None else View(track.angles[frame], track.expression)
    return {
        "clip": track.name,
        "clip_hash": track.clip_hash,
        "driver": track.driver,
        "label": track.label,
        "frame": frame,
        "reference": "closest" if view else _reference(settings, len(track)),
        "view": view,
        **{name: getattr(settings, name) for name in COPIED},
    }


def _reference(settings: DrawSettings, num_frames: int) -> Reference:
    if settings.reference == "closest":
        # All frames of a sequence share one reference, or the face would jump. Diverse copies start from a frame that
        # differs from the driving frame.
        return "moving" if settings.selection == "diverse" else "closest"
    if settings.reference == "first":
        return 0
    return min(settings.reference, num_frames - 1)


def plain_keys(keys: Iterable[Key]) -> list[Key]:
    """Return names of images, the integers of NumPy and torch as plain ones.

    Raises:
        ArgumentError: the names are no list, or one of them is neither a text nor a number.
    """
    if isinstance(keys, str | bytes) or not isinstance(keys, Iterable):
        raise ArgumentError(f"keys must be a list with the name of each image, got {shortened(keys)}")
    return [_plain_key(key) for key in keys]


def _plain_key(key: Any) -> Key:
    if isinstance(key, str):
        return str(key)
    with suppress(TypeError):
        if not isinstance(key, bool):
            return operator.index(key)
    remedy = "; use str(path)" if isinstance(key, PurePath) else ""
    raise ArgumentError(f"a key must be a str or an int, got {shortened(key)} of type {type(key).__name__}{remedy}")


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
    """Choose frames for copies 0 to count - 1 of each source; a copy does not depend on the number of copies.

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
    limits = [
        (name, angle, interval)
        for name, angle, interval in (("yaw", space.yaw, yaw_range), ("pitch", space.pitch, pitch_range))
        if interval is not None
    ]
    for _, angle, (low, high) in limits:
        allowed &= (angle >= low) & (angle <= high)
    if not allowed.any():
        wanted = " and ".join(f"{name} in {interval}" for name, _, interval in limits)
        drawn = [(name, angle[weighted]) for name, angle, _ in limits]
        spans = " and ".join(f"{name} ({int(angle.min())}, {int(angle.max())})" for name, angle in drawn)
        hint = "" if weighted.all() else ", or give tracks of weight 0 a weight"
        raise ArgumentError(
            f"no driving frame has {wanted}: the pool spans {spans}; widen the ranges or add clips{hint}"
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
