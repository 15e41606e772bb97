"""What makes a set of tracks a pool: that they belong together, and the hash of them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence

import torch

from fomaug.driving.track import MotionTrack
from fomaug.errors import PoolError
from fomaug.types import Keypoints


def contents_hash(tracks: Sequence[MotionTrack], model_hash: str) -> str:
    """Sha256 of the model and of every track but its crop and facts.

    Numbers are hashed as little-endian float32, so machines and devices agree. Every draw depends on this hash: to
    change it is to change everybody's datasets.
    """
    digest = hashlib.sha256(f"fomaug pool 1\n{model_hash}\n".encode("utf-8", "surrogatepass"))
    for track in tracks:
        words = [track.name, track.label, float(track.fps), track.clip_hash, track.driver, float(track.weight)]
        digest.update(json.dumps(words, ensure_ascii=True).encode())
        for part in (track.keypoints.value, track.keypoints.jacobian):
            digest.update(b"none" if part is None else f"{tuple(part.shape)}".encode())
            if part is not None:
                digest.update(part.detach().to("cpu", torch.float32).contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def check_together(tracks: Sequence[MotionTrack]) -> None:
    """Raise `PoolError` unless the tracks make a pool."""
    if not tracks:
        raise PoolError("a driving pool needs at least one track, got none")
    if twice := [name for name, count in Counter(track.name for track in tracks).items() if count > 1]:
        raise PoolError(f"track names must be unique, got {some(twice)} more than once")
    for track in tracks:
        if _kind(track.keypoints) != _kind(tracks[0].keypoints):
            raise PoolError(
                f"tracks {tracks[0].name!r} and {track.name!r} differ in their keypoints; they come from two models"
            )
    if not any(track.weight for track in tracks):
        raise PoolError("the weights of all tracks are 0; none could be drawn")


def some(names: Sequence[str], count: int = 8) -> str:
    """List the first names.

    >>> some(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


def _kind(keypoints: Keypoints) -> tuple[int, bool]:
    return keypoints.value.shape[1], keypoints.jacobian is not None
