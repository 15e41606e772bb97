"""The random numbers of draws: one hash for each key, and integer arithmetic on arrays for everything else.

The generator is counter-based: a number is a function of the key's hash, of its purpose and of the copy, without any
state. So all numbers of all copies of all keys are computed at once, and none depends on the others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomaug.motion.space import Array

Key = str | int
Hashes = NDArray[np.uint64]

DRAWS: Final = 2
"""Version of the draws: any change of a drawn number raises it. 1 had one generator object for each draw."""

# Purposes of numbers. A number depends on its purpose, so that new purposes do not change the others.
SKIP: Final = 0
STRENGTH: Final = 1
FRAME: Final = 2
BLOCK: Final = 3
YAW: Final = 4
SHIFT: Final = 5
TILT: Final = 6
OFFSET: Final = 7
MIRROR: Final = 8

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def hash_keys(keys: Sequence[Key], *shared: Key) -> Hashes:
    """Hash keys together with what they share.

    "1" and 1 have different hashes, and so have keys with other shared words.

    Args:
        keys: B names.
        shared: seed, epoch and other words that all draws depend on.

    Returns:
        (B, 2) 128 bits for each key.

    >>> hash_keys(["a.jpg", "b.jpg"], 0).shape
    (2, 2)
    """
    start = hashlib.blake2b(json.dumps([DRAWS, *shared]).encode(), digest_size=16)
    digests = []
    for key in keys:
        own = start.copy()
        own.update(b"s" + key.encode("utf-8", "surrogatepass") if isinstance(key, str) else b"i%x" % key)
        digests.append(own.digest())
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64).reshape(-1, 2)


def uniform(hashes: Hashes, *purposes: int, count: int = 1) -> Array:
    """Compute uniform numbers in [0, 1), multiples of 2^-53.

    Args:
        hashes: (B, 2) hashes of the keys.
        purposes: P numbers of purposes; one call for several purposes is faster than several calls.
        count: numbers for each key and purpose, usually one for each copy.

    Returns:
        (P, B, count); the first numbers are the same for any count.
    """
    first = np.array(purposes, np.uint64) << np.uint64(32)
    counter = first[:, None, None] + np.arange(1, count + 1, dtype=np.uint64)
    # The counter is mixed with both halves of the hash in turn, by the bijection of SplitMix64.
    start: Hashes = np.add(hashes[:, :1], counter * _GOLDEN, dtype=np.uint64)
    bits = mix(mix(start) ^ hashes[:, 1:])
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def mix(bits: Hashes) -> Hashes:
    """Mix the bits of 64-bit integers by the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    mixed: Hashes = bits ^ (bits >> np.uint64(31))
    return mixed
