from __future__ import annotations

from typing import get_type_hints

import pytest

from fomaug.errors import ArgumentError
from fomaug.visual import AnimateOptions, parse_face
from fomaug.visual.options import AnimateKeywords, make_options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"region": "mouht"}, "region must be one of .*did you mean 'mouth'"),
        ({"crop": "fram"}, "did you mean 'frame'"),
        ({"reference": "last"}, "reference must be closest, first or a frame number, got 'last'"),
        ({"source_frame": -1}, "source_frame must be closest, first or a frame number, got -1"),
        ({"face": "atuo"}, "did you mean 'auto'"),
        ({"face": (1, 2, 0, 4)}, r"face must be auto, whole or \(x, y, width, height\)"),
        ({"max_frames": 0}, "max_frames must be 1 or more, got 0"),
        ({"batch_size": 0}, "batch_size must be 1 or more, got 0"),
        ({"strength": float("nan")}, "strength must be 0 or more, got nan"),
    ],
)
def test_invalid_values_are_named(options: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        AnimateOptions(**options)


@pytest.mark.parametrize(
    ("text", "face"), [("auto", "auto"), ("whole", "whole"), ("1,2,30,40", (1, 2, 30, 40)), ("-5 0 9 9", (-5, 0, 9, 9))]
)
def test_a_face_is_read_from_words_and_numbers(text: str, face: object) -> None:
    assert parse_face(text) == face


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,four", "1.5,2,3,4"])
def test_an_invalid_face_is_quoted(text: str) -> None:
    with pytest.raises(ArgumentError, match=f"X,Y,WIDTH,HEIGHT in pixels, got '{text}'"):
        parse_face(text)


def test_keywords_have_the_names_and_types_of_the_options() -> None:
    assert get_type_hints(AnimateKeywords) == get_type_hints(AnimateOptions)


def test_an_unknown_option_gets_a_suggestion() -> None:
    with pytest.raises(ArgumentError, match="no option 'strenght'; did you mean 'strength'"):
        make_options({"strenght": 1})
