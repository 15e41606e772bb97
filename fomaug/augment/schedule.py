"""The probability that a copy moves, as a number or as a schedule by epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from fomaug.errors import ArgumentError, shortened

Probability = float | Sequence[tuple[int, float]] | Callable[[int], float]
"""A probability, pairs (epoch, probability), or a function from the epoch to the probability."""


def p_at(p: Probability, epoch: int) -> float:
    """Return the probability in a pass over the data.

    Raises:
        ArgumentError: a schedule has no pairs, begins later than with epoch 0, or is not ordered.

    >>> [p_at([(0, 0.2), (3, 0.5)], epoch) for epoch in (0, 2, 3, 9)]
    [0.2, 0.2, 0.5, 0.5]
    >>> p_at(lambda epoch: min(0.5, 0.1 * epoch), 2)
    0.2
    """
    if callable(p):
        return p(epoch)
    if not _is_schedule(p):
        return cast(float, p)  # `DrawSettings` checks it.
    return [value for first, value in _pairs(p) if first <= epoch][-1]


def plain_p(p: Probability) -> Any:
    """Return a probability or the pairs of a schedule as plain JSON.

    Raises:
        ArgumentError: the schedule is a function.
    """
    if callable(p):
        raise ArgumentError("a function as p cannot be written as JSON; give pairs (epoch, p) instead")
    return [list(pair) for pair in _pairs(p)] if _is_schedule(p) else p


def _is_schedule(p: object) -> bool:
    return isinstance(p, Sequence) and not isinstance(p, str | bytes)


def _pairs(p: Any) -> list[tuple[int, float]]:
    pairs = [tuple(pair) if isinstance(pair, Sequence) else () for pair in p]
    numbers = [n for pair in pairs for n in pair if isinstance(n, int | float) and not isinstance(n, bool)]
    firsts = [pair[0] for pair in pairs if len(pair) == 2]
    if len(numbers) != 2 * len(pairs) or firsts[:1] != [0] or sorted(set(firsts)) != firsts:
        raise ArgumentError(
            f"p as a schedule has pairs (epoch, p) with growing epochs from 0, such as [(0, 0.2), (10, 0.5)], "
            f"got {shortened(p)}"
        )
    if any(not 0 <= value <= 1 for _, value in pairs):
        raise ArgumentError(f"p is a probability in [0, 1], got {shortened(p)}")
    return [(int(first), float(value)) for first, value in pairs]
