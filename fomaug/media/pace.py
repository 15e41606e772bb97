"""An even pace for frames that carry presentation times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

Frame = TypeVar("Frame")

DEFAULT_FPS = 25.0
_FPS_RANGE = (1.0, 240.0)


def choose_fps(*candidates: float | None) -> float:
    """Take the first rate that can be one; containers write 0, 1000 or 90000 when they do not know.

    >>> choose_fps(None, 90000.0, 30.0)
    30.0
    """
    low, high = _FPS_RANGE
    return next((float(rate) for rate in candidates if rate and low <= rate <= high), DEFAULT_FPS)


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
