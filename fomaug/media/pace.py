"""An even pace for frames that carry presentation times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

Frame = TypeVar("Frame")

DEFAULT_FPS = 25.0
_FPS_RANGE = (0.999, 240.0)
_SAME_RATE = 0.005  # share by which rates may differ that mean the same
_SAME_GAP = 1.3  # times the short gaps; clocks of milliseconds round 8 to 9


def choose_fps(*candidates: float | None) -> float:
    """Take the first rate that can be one; containers write 0, 1000 or 90000 when they do not know.

    >>> choose_fps(None, 90000.0, 30.0)
    30.0
    """
    low, high = _FPS_RANGE
    return next((float(rate) for rate in candidates if rate and low <= rate <= high), DEFAULT_FPS)


def is_even(times: Sequence[float], fps: float) -> bool:
    """Whether the first frames of a clip stand evenly, at the rate that the container gives.

    >>> is_even([0.0, 0.033, 0.067, 0.1], 30.0), is_even([0.0, 0.033, 0.067, 0.1], 9.0)
    (True, False)
    """
    gaps = _gaps(times)
    return bool(gaps) and max(gaps) <= _SAME_GAP * min(gaps) and _same(len(gaps) / sum(gaps), fps)


def true_fps(times: Sequence[float], nominal: float, *others: float) -> float:
    """Find the rate at which frames come when they come steadily; pauses between them do not count.

    A container's mean rate counts pauses, and how long the last frame stays. Frames evened out to it would be dropped
    where they come fast. So the rate is that of the shortest fifth of the gaps between frames.

    Args:
        times: seconds of presentation, in any order; all of the clip, or enough of an even one.
        nominal: the container's mean rate; taken if it is the same but for rounding.
        others: further rates that the container gives, taken likewise.

    >>> true_fps([0.0, 0.033, 0.067, 0.1, 3.1], 1.25, 30.0)
    30.0
    """
    gaps = _gaps(times)
    if not gaps:
        return nominal
    short = _SAME_GAP * gaps[len(gaps) // 5]
    steady = [gap for gap in gaps if gap <= short]
    rate = len(steady) / sum(steady)
    return choose_fps(*(known for known in (nominal, *others) if _same(rate, known)), rate, nominal)


def _gaps(times: Sequence[float]) -> list[float]:
    return sorted(after - before for before, after in pairwise(sorted(times)) if after > before)


def _same(rate: float, other: float) -> bool:
    return abs(rate / other - 1) <= _SAME_RATE


def even_pace(frames: Iterable[tuple[float | None, Frame]], fps: float) -> Iterator[Frame]:
    """Repeat and drop frames so that they stand `1 / fps` seconds apart.

    One frame is held at a time. A frame without a time takes one slot, and so does one after a clock that ran backwards
    or stood still for longer than a second: that is a broken file or a still picture, not motion.

    Args:
        frames: (seconds, frame) in the order of presentation.
        fps: frames per second of the result.

    Yields:
        The frames, those of a clip of constant rate exactly once.

    >>> "".join(even_pace([(0.0, "a"), (0.04, "b"), (0.16, "c")], 25.0))
    'abbbc'
    """
    held: Frame | None = None
    origin, passed = 0.0, 0
    for time, frame in frames:
        if held is None:
            origin = time or 0.0
        else:
            slots = 1 if time is None else round((time - origin) * fps) - passed
            if time is not None and not 0 <= slots <= max(1.0, fps):
                slots, origin = 1, time - (passed + 1) / fps
            for _ in range(slots):
                yield held
            passed += slots
        held = frame
    if held is not None:
        yield held
