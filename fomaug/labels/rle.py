"""Run lengths, as COCO writes masks: column by column, zeros first; as a list of numbers, or packed into text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import LabelError, shortened

Mask = NDArray[np.uint8]

MOST_PIXELS: Final = 2**30  # of a mask
_MOST_BITS: Final = 60  # of a packed run length; those of COCO have 32


@dataclass(frozen=True, eq=False)
class Runs:
    """A mask as run lengths, checked; it takes memory for its runs only.

    Attributes:
        size: (h, w).
        lengths: (R,) int64, zeros first; their sum is h * w.
    """

    size: tuple[int, int]
    lengths: NDArray[np.int64]

    @property
    def area(self) -> int:
        """Number of pixels that are set."""
        return int(self.lengths[1::2].sum())

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Box around the pixels that are set, (x0, y0, x1, y1) in edges as in COCO; all 0 if there are none."""
        ends = self.lengths.cumsum()
        first, last = (ends - self.lengths)[1::2], ends[1::2] - 1
        there = first <= last
        if not there.any():
            return 0.0, 0.0, 0.0, 0.0
        height = self.size[0]
        (left, top), (right, bottom) = (divmod(edge[there], height) for edge in (first, last))
        top, bottom = (np.where(left == right, row, wide) for row, wide in ((top, 0), (bottom, height - 1)))
        return float(left.min()), float(top.min()), float(right.max() + 1), float(bottom.max() + 1)


def read_runs(segment: dict[str, Any]) -> Runs:
    """Check run lengths without filling a mask.

    Args:
        segment: `size` [h, w], and `counts` as a list or as text.

    Raises:
        LabelError: the runs do not fill the size, or no picture is so large.
    """
    height, width = _size(segment.get("size"))
    counts = segment.get("counts")
    if not isinstance(counts, str | list):
        raise LabelError(f"counts must be run lengths, as a list or packed into text, got {shortened(counts)}")
    runs = unpack(counts) if isinstance(counts, str) else counts
    if not all(type(run) is int and 0 <= run <= MOST_PIXELS for run in runs) or sum(runs) != height * width:
        raise LabelError(f"run lengths of {_total(runs)} pixels do not fill a mask of {height} x {width}")
    return Runs((height, width), np.array(runs, np.int64))


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
    runs = read_runs(segment)
    height, width = runs.size
    values = np.arange(len(runs.lengths), dtype=np.uint8) % 2
    mask: Mask = np.repeat(values, runs.lengths).reshape(width, height).T
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
        if shift > _MOST_BITS:
            raise LabelError(f"a packed run length has more than {_MOST_BITS} bits")
        if not bits & 32:
            number -= (bits & 16) << (shift - 4)
            runs.append(number + (runs[-2] if len(runs) > 2 else 0))
            number = shift = 0
    if shift:
        raise LabelError("packed run lengths end within a number")
    return runs


def _size(size: Any) -> tuple[int, int]:
    if (
        not isinstance(size, list | tuple)
        or len(size) != 2
        or not all(type(side) is int and side >= 0 for side in size)
    ):
        raise LabelError(f"size must be two whole numbers, height and width, got {shortened(size)}")
    height, width = size
    if height * width > MOST_PIXELS:
        raise LabelError(f"a mask of {height} x {width} is larger than any picture that is read")
    return height, width


def _total(runs: Sequence[Any]) -> str:
    """Sum of run lengths, for the message; they may be no numbers at all, or of any size."""
    whole = all(type(run) is int and abs(run) <= MOST_PIXELS for run in runs)
    return str(sum(runs)) if whole else shortened(list(runs))
