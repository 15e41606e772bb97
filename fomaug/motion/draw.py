"""Draw motion parameters: all randomness is here."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch.utils.data import get_worker_info

from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError
from fomaug.motion.params import MotionParams, Reference
from fomaug.motion.select import DrawableFrames, Word, drawable_frames, named_rng, select
from fomaug.options import COPIED, DrawSettings

Key = str | int


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
        face: index of the face in each image. Face 0 decides whether an image is skipped; the others always move.

    Returns:
        B * copies parameters, all copies of the first image first.
    """
    if copies < 1:
        raise ArgumentError(f"copies must be 1 or more, got {copies}")
    frames = drawable_frames(pool, settings.yaw_range, settings.pitch_range)
    found: list[MotionParams] = []
    for key in keys:
        origin = MotionParams(
            key=_plain_key(key),
            epoch=epoch,
            seed=settings.seed,
            pool_hash=pool.hash,
            model_hash=pool.model_hash,
            face=face,
        )
        found += _draw_face(pool, frames, settings, origin, copies)
    return found


def _draw_face(
    pool: DrivingPool, frames: DrawableFrames, settings: DrawSettings, origin: MotionParams, copies: int
) -> list[MotionParams]:
    words: tuple[Word, ...] = (settings.seed, origin.key, origin.epoch, pool.hash, pool.model_hash)
    if origin.face:
        # The draw of the first face of an image is the same as if it were the only one.
        settings, words = replace(settings, p=1.0), (*words, f"face {origin.face}")
    chances = [_chances(settings, words, copy) for copy in range(copies)]
    last = max((copy for copy, (skipped, _) in enumerate(chances) if not skipped), default=-1)
    chosen = select(settings.selection, frames, last + 1, words) if last >= 0 else ()
    found = []
    for copy, (skipped, strength) in enumerate(chances):
        own = replace(origin, copy=copy)
        if skipped:
            found.append(own.at_rest())
        else:
            row = int(chosen[copy])
            index = int(frames.space.track[row]), int(frames.space.frame[row])
            found.append(_moving(pool, settings, own, index, strength))
    return found


def _chances(settings: DrawSettings, words: tuple[Word, ...], copy: int) -> tuple[bool, float]:
    """Decide whether a copy is skipped, and its strength; the frames of a sequence share both."""
    rng = named_rng("chance", *words) if settings.selection == "sequence" else named_rng("chance", *words, copy)
    # The order is fixed, so that another p or range changes nothing else of the draw.
    skip, share = rng.random(2)
    low, high = settings.strength_range
    return bool(skip >= settings.p), float(low + share * (high - low))


def _moving(
    pool: DrivingPool, settings: DrawSettings, own: MotionParams, index: tuple[int, int], strength: float
) -> MotionParams:
    track, frame = pool.tracks[index[0]], index[1]
    return replace(
        own,
        clip=track.name,
        clip_hash=track.clip_hash,
        driver=track.driver,
        label=track.label,
        frame=frame,
        reference=_reference(settings, len(track.keypoints)),
        strength=strength,
        **{name: getattr(settings, name) for name in COPIED},
    )


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
        raise ArgumentError(f"a key is a name or a number, got {key!r}")
    try:
        return operator.index(key)
    except TypeError as error:
        raise ArgumentError(f"a key is a str or an int, got {key!r} of type {type(key).__name__}") from error
