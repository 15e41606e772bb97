"""COCO's run lengths of masks: column by column, zeros first, as a list of numbers or packed into text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import LabelError, shortened

Mask = NDArray[np.uint8]

MOST_PIXELS: Final = 2**30  # Largest mask.
_MOST_BITS: Final = 60  # Largest packed run length; those of COCO have 32 bits.


@dataclass(frozen=True, eq=False)
class Runs:
    """A checked mask as run lengths, which take memory for the runs only.

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
        """Box around the pixels that are set: edges (x0, y0, x1, y1) as in COCO, all 0 for an empty mask."""
        ends = self.lengths.cumsum()
        first, last = (ends - self.lengths)[1::2], ends[1::2] - 1
        filled = first <= last
        if not filled.any():
            return 0.0, 0.0, 0.0, 0.0
        height = self.size[0]
        (left, top), (right, bottom) = (divmod(edge[filled], height) for edge in (first, last))
        top, bottom = (np.where(left == right, row, wide) for row, wide in ((top, 0), (bottom, height - 1)))
        return float(left.min()), float(top.min()), float(right.max() + 1), float(bottom.max() + 1)


def read_runs(segment: dict[str, Any]) -> Runs:
    """Check run lengths without decoding the mask.

    Args:
        segment: `size` [h, w], and `counts` as a list or as text.

    Raises:
        LabelError: the sum of the runs is not h * w, or the size exceeds 2^30 pixels.
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
    """Decode run lengths to a mask.

    Args:
        segment: `size` (h, w), and `counts` as a list or as text.

    Returns:
        (h, w) of zeros and ones.

    Raises:
        LabelError: see `read_runs`.

    >>> decode_mask({"size": [2, 3], "counts": [1, 2, 3]}).tolist()
    [[0, 1, 0], [1, 0, 0]]
    """
    runs = read_runs(segment)
    height, width = runs.size
    values = np.arange(len(runs.lengths), dtype=np.uint8) % 2
    mask: Mask = np.repeat(values, runs.lengths).reshape(width, height).T
    return mask


def encode_mask(mask: Mask, *, packed: bool) -> dict[str, Any]:
    """Encode a mask as run lengths.

    Args:
        mask: (h, w); all numbers but 0 count as 1.
        packed: whether to pack the run lengths into text.

    >>> encode_mask(np.ones((3, 2), np.uint8), packed=True)
    {'size': [3, 2], 'counts': '06'}
    """
    flat = np.concatenate([[0], (mask != 0).T.reshape(-1).astype(np.int8), [2]])
    ends = np.flatnonzero(np.diff(flat))
    runs: list[int] = np.diff(ends, prepend=0).tolist()
    return {"size": list(mask.shape), "counts": pack(runs) if packed else runs}


def pack(runs: Sequence[int]) -> str:
    """Pack run lengths into text, five bits to a character.

    From the fourth on, the difference to the last but one is packed.

    >>> pack([14, 1, 1])
    '>11'
    """
    characters = []
    for index, run in enumerate(runs):
        rest = run - runs[index - 2] if index > 2 else run
        while True:
            bits, rest = rest & 31, rest >> 5
            # The fifth bit of the last character is the sign of the number.
            done = rest == (-1 if bits & 16 else 0)
            characters.append(chr(48 + bits + (0 if done else 32)))
            if done:
                break
    return "".join(characters)


def unpack(text: str) -> list[int]:
    """Unpack text that `pack` returned.

    >>> unpack(">11")
    [14, 1, 1]
    """
    runs: list[int] = []
    number = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise LabelError(f"packed run lengths cannot have the character {character!r}")
        number |= (bits & 31) << shift
        shift += 5
        if shift > _MOST_BITS:
            raise LabelError(f"a packed run length has more than {_MOST_BITS} bits")
        if not bits & 32:
            number -= (bits & 16) << (shift - 4)
            runs.append(number + (runs[-2] if len(runs) > 2 else 0))
            number = shift = 0
    if shift:
        raise LabelError("packed run lengths end in the middle of a number")
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
        raise LabelError(f"a mask may have up to {MOST_PIXELS} pixels, got {height} x {width}")
    return height, width


def _total(runs: Sequence[Any]) -> str:
    """Describe the sum of run lengths; the list may contain anything, also numbers of any size."""
    whole = all(type(run) is int and abs(run) <= MOST_PIXELS for run in runs)
    return str(sum(runs)) if whole else shortened(list(runs))
