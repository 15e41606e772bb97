"""Draw motion parameters: everything random happens here."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from fomaug._errors import ArgumentError
from fomaug.augment._params import MotionParams, Reference
from fomaug.augment._rng import Word, named_rng
from fomaug.augment._select import Reach, pool_reach, select
from fomaug.augment._settings import DrawSettings
from fomaug.driving import DrivingPool

Key = str | int


def draw(
    pool: DrivingPool,
    settings: DrawSettings,
    keys: Sequence[Key],
    *,
    copies: int = 1,
    epoch: int = 0,
) -> list[MotionParams]:
    """Draw the motion of every copy of every image.

    A draw depends on (seed, key, copy, epoch, pool, model) and on the settings: not on its neighbours, their order or
    number, the process or the device.

    Args:
        pool: what to draw from; its hashes go into the draw.
        settings: how to draw.
        keys: what names each image, B of them.
        copies: draws for each image.
        epoch: the pass over the data.

    Returns:
        B * copies parameters, all copies of the first image first.
    """
    if copies < 1:
        raise ArgumentError(f"copies must be 1 or more, got {copies}")
    reach = pool_reach(pool, settings.yaw_range, settings.pitch_range)
    found: list[MotionParams] = []
    for key in keys:
        found += _draw_source(pool, reach, settings, _plain_key(key), copies, epoch)
    return found


def _draw_source(
    pool: DrivingPool, reach: Reach, settings: DrawSettings, key: Key, copies: int, epoch: int
) -> list[MotionParams]:
    words = (settings.seed, key, epoch, pool.hash, pool.model_hash)
    chances = [_chances(settings, words, copy) for copy in range(copies)]
    last = max((copy for copy, (skipped, _) in enumerate(chances) if not skipped), default=-1)
    chosen = select(settings.selection, reach, last + 1, words) if last >= 0 else ()
    found = []
    for copy, (skipped, strength) in enumerate(chances):
        if skipped:
            found.append(_still(pool, settings, key, copy, epoch))
        else:
            row = int(chosen[copy])
            place = int(reach.space.track[row]), int(reach.space.frame[row])
            found.append(_moving(pool, settings, key, copy, epoch, place, strength))
    return found


def _chances(settings: DrawSettings, words: tuple[Word, ...], copy: int) -> tuple[bool, float]:
    """Decide whether a copy is skipped, and its strength; the frames of a sequence share both."""
    rng = named_rng("chance", *words) if settings.selection == "sequence" else named_rng("chance", *words, copy)
    # Always in this order: another p or range must not change what else is drawn.
    skip, share = rng.random(2)
    low, high = settings.strength_range
    return bool(skip >= settings.p), float(low + share * (high - low))


def _still(pool: DrivingPool, settings: DrawSettings, key: Key, copy: int, epoch: int) -> MotionParams:
    return MotionParams(
        key=key,
        copy=copy,
        epoch=epoch,
        seed=settings.seed,
        skipped=True,
        strength=0.0,
        pool_hash=pool.hash,
        model_hash=pool.model_hash,
    )


def _moving(
    pool: DrivingPool,
    settings: DrawSettings,
    key: Key,
    copy: int,
    epoch: int,
    place: tuple[int, int],
    strength: float,
) -> MotionParams:
    track, frame = pool.tracks[place[0]], place[1]
    return MotionParams(
        key=key,
        copy=copy,
        epoch=epoch,
        seed=settings.seed,
        clip=track.name,
        clip_hash=track.clip_hash,
        driver=track.driver,
        label=track.label,
        frame=frame,
        reference=_reference(settings, len(track.keypoints)),
        relative=settings.relative,
        relative_jacobian=settings.relative_jacobian,
        adapt_scale=settings.adapt_scale,
        strength=strength,
        region=settings.region,
        pool_hash=pool.hash,
        model_hash=pool.model_hash,
    )


def _reference(settings: DrawSettings, num_frames: int) -> Reference:
    if settings.reference == "closest":
        return "closest"
    if settings.reference == "first":
        return 0
    return min(settings.reference, num_frames - 1)


def _plain_key(key: Key) -> Key:
    """Take NumPy's and torch's integers for what they are."""
    if isinstance(key, str):
        return str(key)
    if isinstance(key, bool):
        raise ArgumentError(f"a key is a name or a number, got {key!r}")
    try:
        return operator.index(key)
    except TypeError as error:
        raise ArgumentError(f"a key is a str or an int, got {key!r} of type {type(key).__name__}") from error
