"""Draw motion parameters: all randomness is here."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError
from fomaug.motion.numbers import MIRROR, SKIP, STRENGTH, Hashes, Key, hash_keys, uniform
from fomaug.motion.params import MotionParams, Reference
from fomaug.motion.select import drawable_frames, select
from fomaug.motion.space import Array, MotionSpace
from fomaug.motion.view import View
from fomaug.options import COPIED, DrawSettings


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
    if copies < 1:
        raise ArgumentError(f"copies must be 1 or more, got {copies}")
    frames = drawable_frames(pool, settings.yaw_range, settings.pitch_range)
    names = [_plain_key(key) for key in keys]
    if not names:
        return []
    hashes = hash_keys(names, int(settings.seed), int(epoch), pool.hash, pool.model_hash, face)
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


def _plain_key(key: Key) -> Key:
    """Turn the integers of NumPy and torch into plain ones."""
    if isinstance(key, str):
        return str(key)
    if isinstance(key, bool):
        raise ArgumentError(f"a key must be a name or a number, got {key!r}")
    try:
        return operator.index(key)
    except TypeError as error:
        raise ArgumentError(f"a key must be a str or an int, got {key!r} of type {type(key).__name__}") from error
