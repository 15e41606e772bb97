"""A deadline for a whole command, which its measurements share."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from timing import OutOfTime

_SOFT: Final = 0.8  # of a part's time, after which no turn starts; the rest is for a turn that has begun


class Deadline:
    """A number of seconds from now on.

    Args:
        seconds: time for the whole command.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.perf_counter() + seconds

    def left(self) -> float:
        """Return the seconds that are left."""
        return self._end - time.perf_counter()

    @contextmanager
    def part(self, share: float, later: float) -> Iterator[float]:
        """Give a part its share of the time that is left, and interrupt it at the end of this time.

        Args:
            share: share of the part.
            later: sum of the shares of all parts after it.

        Yields:
            The time of `time.perf_counter` after which the part should start nothing more.

        Raises:
            OutOfTime: nothing was left, or the part did not stop. A call into a library ends first.
        """
        seconds = self.left() * share / (share + later)
        if seconds <= 0:
            raise OutOfTime("the time of the command was over")
        before = signal.signal(signal.SIGALRM, _interrupt)
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
        try:
            yield time.perf_counter() + _SOFT * seconds
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def _interrupt(number: int, frame: Any) -> None:
    raise OutOfTime("the measurement did not end in its time")
