"""Frame rates, and even spacing for frames with presentation times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

Frame = TypeVar("Frame")

DEFAULT_FPS = 25.0
_FPS_RANGE = (0.999, 240.0)
_SAME_RATE = 0.005  # relative difference up to which two rates count as equal
_SAME_GAP = 1.3  # ratio up to which gaps count as equal; clocks of milliseconds round 8.3 to 8 or 9


def choose_fps(*candidates: float | None) -> float:
    """Choose the first plausible rate; containers have 0, 1000 or 90000 if the rate is unknown.

    >>> choose_fps(None, 90000.0, 30.0)
    30.0
    """
    low, high = _FPS_RANGE
    return next((float(rate) for rate in candidates if rate and low <= rate <= high), DEFAULT_FPS)


def is_even(times: Sequence[float], fps: float) -> bool:
    """Return whether the first frames of a clip are evenly spaced at the container's rate.

    >>> is_even([0.0, 0.033, 0.067, 0.1], 30.0), is_even([0.0, 0.033, 0.067, 0.1], 9.0)
    (True, False)
    """
    gaps = _gaps(times)
    return bool(gaps) and max(gaps) <= _SAME_GAP * min(gaps) and _same(len(gaps) / sum(gaps), fps)


def true_fps(times: Sequence[float], nominal: float, *others: float) -> float:
    """Find the frame rate of the steady parts of a clip; pauses do not count.

    A container's mean rate includes pauses and the duration of the last frame, so resampling to it would drop frames
    of the fast parts. The true rate is that of the shortest fifth of the gaps between frames.

    Args:
        times: presentation times in seconds, in any order: all of the clip, or enough of an even one.
        nominal: mean rate of the container; it is returned if it equals the true rate up to rounding.
        others: further rates of the container, with the same use.

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
    """Repeat and drop frames so that they are `1 / fps` seconds apart.

    One frame is in memory at a time. A frame without a time takes one slot. So does a frame whose time is earlier than
    the previous one, or later by more than a second: the file is broken or shows a still picture.

    Args:
        frames: pairs (seconds, frame) in the order of presentation.
        fps: frames per second of the result.

    Yields:
        The frames; each frame of a clip of constant rate appears exactly once.

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
