"""Draw motion parameters: everything random happens here."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import replace

from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError
from fomaug.motion.options import HANDED_ON, DrawSettings
from fomaug.motion.params import MotionParams, Reference
from fomaug.motion.rng import Word, named_rng
from fomaug.motion.select import Reach, pool_reach, select

Key = str | int


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

    A draw depends on (seed, key, face, copy, epoch, pool, model) and on the settings: not on its neighbours, their
    order or number, the process or the device.

    Args:
        pool: what to draw from; its hashes go into the draw.
        settings: how to draw.
        keys: what names each image, B of them.
        copies: draws for each image.
        epoch: the pass over the data.
        face: number of the face in each image. Whether an image is skipped is settled by face 0; the others move.

    Returns:
        B * copies parameters, all copies of the first image first.
    """
    if copies < 1:
        raise ArgumentError(f"copies must be 1 or more, got {copies}")
    reach = pool_reach(pool, settings.yaw_range, settings.pitch_range)
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
        found += _draw_face(pool, reach, settings, origin, copies)
    return found


def _draw_face(
    pool: DrivingPool, reach: Reach, settings: DrawSettings, origin: MotionParams, copies: int
) -> list[MotionParams]:
    words: tuple[Word, ...] = (settings.seed, origin.key, origin.epoch, pool.hash, pool.model_hash)
    if origin.face:
        # The first face of a picture moves as if it were the only one.
        settings, words = replace(settings, p=1.0), (*words, f"face {origin.face}")
    chances = [_chances(settings, words, copy) for copy in range(copies)]
    last = max((copy for copy, (skipped, _) in enumerate(chances) if not skipped), default=-1)
    chosen = select(settings.selection, reach, last + 1, words) if last >= 0 else ()
    found = []
    for copy, (skipped, strength) in enumerate(chances):
        own = replace(origin, copy=copy)
        if skipped:
            found.append(own.at_rest())
        else:
            row = int(chosen[copy])
            place = int(reach.space.track[row]), int(reach.space.frame[row])
            found.append(_moving(pool, settings, own, place, strength))
    return found


def _chances(settings: DrawSettings, words: tuple[Word, ...], copy: int) -> tuple[bool, float]:
    """Decide whether a copy is skipped, and its strength; the frames of a sequence share both."""
    rng = named_rng("chance", *words) if settings.selection == "sequence" else named_rng("chance", *words, copy)
    # Always in this order: another p or range must not change what else is drawn.
    skip, share = rng.random(2)
    low, high = settings.strength_range
    return bool(skip >= settings.p), float(low + share * (high - low))


def _moving(
    pool: DrivingPool, settings: DrawSettings, own: MotionParams, place: tuple[int, int], strength: float
) -> MotionParams:
    track, frame = pool.tracks[place[0]], place[1]
    return replace(
        own,
        clip=track.name,
        clip_hash=track.clip_hash,
        driver=track.driver,
        label=track.label,
        frame=frame,
        reference=_reference(settings, len(track.keypoints)),
        strength=strength,
        **{name: getattr(settings, name) for name in HANDED_ON},
    )


def _reference(settings: DrawSettings, num_frames: int) -> Reference:
    if settings.reference == "closest":
        # All frames of a sequence start from one frame, or the face would jump; a copy of its own shall move.
        return "moving" if settings.selection == "diverse" else "closest"
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
