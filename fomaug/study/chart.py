"""A study as a picture: a bar of the interval for each arm, on one axis of gains. Plain SVG."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape
from textwrap import shorten, wrap

from fomaug.study.report import ArmResult, StudyResult

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 720, 220, 30, 44, 64
_COLOURS = {"yes": "#1a7f37", "harm": "#b42318", "no": "#57606a", "unknown": "#9a6700", None: "#8c959f"}


def draw_chart(result: StudyResult) -> str:
    """Draw the gain of every arm over classic augmentation with its interval.

    Args:
        result: a finished study.

    Returns:
        The text of an SVG file.
    """
    rows = [arm for arm in result.arms if arm.gain is not None]
    ends = [end for arm in rows if arm.gain for end in (arm.gain.low, arm.gain.high, 0.0)]
    step = tick_step(max(ends) - min(ends))
    low, high = math.floor(min(ends) / step - 0.25) * step, math.ceil(max(ends) / step + 0.25) * step
    bottom = _TOP + _ROW * len(rows)

    def place(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    ticks = [low + step * i for i in range(round((high - low) / step) + 1)]
    parts = [_text(12, 24, f"{result.task}: gain in {result.measure} over classic augmentation", size=15)]
    parts += [_tick(place(value), value, bottom) for value in ticks]
    zero = place(0.0)
    parts.append(f'<line x1="{zero:.1f}" y1="{_TOP - 8}" x2="{zero:.1f}" y2="{bottom}" stroke="#24292f"/>')
    for number, arm in enumerate(rows):
        parts += _bar(arm, _TOP + _ROW * number + _ROW / 2, place)
    lines = [part for sentence in result.verdict.splitlines() for part in wrap(sentence, 100)]
    parts += [_text(12, bottom + 48 + 18 * i, line, size=12) for i, line in enumerate(lines)]
    height = bottom + 48 + 18 * len(lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'font-family="sans-serif">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def tick_step(extent: float) -> float:
    """Choose a round distance of ticks: 1, 2 or 5 times a power of ten, about five in the extent.

    >>> tick_step(0.09), tick_step(0.0)
    (0.02, 0.01)
    """
    if extent <= 0:
        return 0.01
    power = 10.0 ** math.floor(math.log10(extent / 5))
    return next(factor * power for factor in (1, 2, 5, 10) if extent / (factor * power) <= 5)


def _bar(arm: ArmResult, y: float, place: Callable[[float], float]) -> list[str]:
    assert arm.gain is not None
    colour = _COLOURS[arm.answer]
    low, mean, high = place(arm.gain.low), place(arm.gain.mean), place(arm.gain.high)
    score = f"{shorten(arm.title, 22, placeholder='...')} ({arm.score:.3f})"
    return [
        _text(12, y + 4, score, size=13),
        f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" stroke="{colour}" stroke-width="4"/>',
        f'<circle cx="{mean:.1f}" cy="{y}" r="6" fill="{colour}"/>',
    ]


def _tick(x: float, value: float, bottom: float) -> str:
    line = f'<line x1="{x:.1f}" y1="{_TOP - 8}" x2="{x:.1f}" y2="{bottom}" stroke="#d8dee4"/>'
    return line + _text(x, bottom + 18, f"{value:+.3g}" if abs(value) > 1e-12 else "0", size=11, anchor="middle")


def _text(x: float, y: float, words: str, *, size: int, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(words)}</text>'
