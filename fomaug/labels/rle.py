"""Run lengths, as COCO writes masks: column by column, zeros first; as a list of numbers, or packed into text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import LabelError

Mask = NDArray[np.uint8]


def decode_mask(segment: dict[str, Any]) -> Mask:
    """Read a mask.

    Args:
        segment: `size` (h, w), and `counts` as a list or as text.

    Returns:
        (h, w) of zeros and ones.

    Raises:
        LabelError: the runs do not fill the size.

    >>> decode_mask({"size": [2, 3], "counts": [1, 2, 3]}).tolist()
    [[0, 1, 0], [1, 0, 0]]
    """
    height, width = (int(side) for side in segment["size"])
    counts = segment["counts"]
    runs = unpack(counts) if isinstance(counts, str) else [int(run) for run in counts]
    if height < 0 or width < 0 or min(runs, default=0) < 0 or sum(runs) != height * width:
        raise LabelError(f"run lengths of {sum(runs)} pixels do not fill a mask of {height} x {width}")
    values = np.arange(len(runs), dtype=np.uint8) % 2
    mask: Mask = np.repeat(values, runs).reshape(width, height).T
    return mask


def encode_mask(mask: Mask, *, packed: bool) -> dict[str, Any]:
    """Write a mask (h, w) of zeros and others; packed into text, or as a list.

    >>> encode_mask(np.ones((3, 2), np.uint8), packed=True)
    {'size': [3, 2], 'counts': '06'}
    """
    flat = np.concatenate([[0], (mask != 0).T.reshape(-1).astype(np.int8), [2]])
    ends = np.flatnonzero(np.diff(flat))
    runs: list[int] = np.diff(ends, prepend=0).tolist()
    return {"size": list(mask.shape), "counts": pack(runs) if packed else runs}


def pack(runs: Sequence[int]) -> str:
    """Pack run lengths into text: from the fourth on as differences to the last but one, five bits to a character.

    >>> pack([14, 1, 1])
    '>11'
    """
    characters = []
    for place, run in enumerate(runs):
        rest = run - runs[place - 2] if place > 2 else run
        while True:
            bits, rest = rest & 31, rest >> 5
            # The last character's fifth bit is the sign of the number.
            done = rest == (-1 if bits & 16 else 0)
            characters.append(chr(48 + bits + (0 if done else 32)))
            if done:
                break
    return "".join(characters)


def unpack(text: str) -> list[int]:
    """Unpack what `pack` packed.

    >>> unpack(">11")
    [14, 1, 1]
    """
    runs: list[int] = []
    number = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise LabelError(f"{character!r} is no character of packed run lengths")
        number |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            number -= (bits & 16) << (shift - 4)
            runs.append(number + (runs[-2] if len(runs) > 2 else 0))
            number = shift = 0
    if shift:
        raise LabelError("packed run lengths end within a number")
    return runs
