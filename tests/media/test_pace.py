from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fomaug.media.pace import choose_fps, even_pace


@given(st.integers(1, 60), st.sampled_from([12.0, 23.976, 25.0, 29.97, 30.0, 60.0]), st.floats(0, 1e4))
def test_a_clip_of_constant_rate_passes_unchanged(count: int, fps: float, start: float) -> None:
    times = [round(start + index / fps, 3) for index in range(count)]
    assert list(even_pace(zip(times, range(count), strict=True), fps)) == list(range(count))


@given(st.integers(0, 40))
def test_frames_without_times_pass_unchanged(count: int) -> None:
    assert list(even_pace(((None, index) for index in range(count)), 25.0)) == list(range(count))


@given(st.lists(st.floats(-1e6, 1e6), max_size=40))
def test_any_clock_gives_frames_in_order_and_no_second_without_a_new_one(times: list[float]) -> None:
    shown = list(even_pace(zip(times, range(len(times)), strict=True), 5.0))
    assert shown == sorted(shown)
    assert all(shown.count(frame) <= 5 for frame in shown)
    assert not times or shown[-1] == len(times) - 1


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((0.0, 0.1, 0.4), "abbbc"),
        ((0.0, 0.04, 0.08, 0.2), "bcd"),  # faster than the rate: the last frame in each slot is kept
        ((0.0, 0.1, 900.0, 900.1), "abcd"),  # a pause of minutes is one slot
        ((5.0, 5.1, 0.0, 0.1), "abcd"),  # a clock that runs backwards
    ],
)
def test_uneven_times_are_evened_out(times: tuple[float, ...], expected: str) -> None:
    assert "".join(even_pace(zip(times, "abcd", strict=False), 10.0)) == expected


@pytest.mark.parametrize(
    ("rates", "expected"), [((30.0, 25.0), 30.0), ((None, 0.0, 90000.0, 24.0), 24.0), ((None,), 25.0), ((), 25.0)]
)
def test_impossible_rates_are_ignored(rates: tuple[float | None, ...], expected: float) -> None:
    assert choose_fps(*rates) == expected
