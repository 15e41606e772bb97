from __future__ import annotations

import math

import pytest

from fomaug.errors import LabelError
from fomaug.untrusted import check_finite, load_json, without_nan


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff{}", r"a\.json: it is not in UTF-8 \(byte 0\)"),
        (b"{\n1", r"a\.json, line 2: it is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * 300 + b"]" * 300, "nested too deeply"),
        (b"[Infinity]", "not finite: inf"),
        (b"[NaN]", "not finite: nan"),
        (b"[1e999]", "not finite: inf"),
        (b"[" + b"9" * 5000 + b"]", "not finite: inf"),
        (b"[-1" + b"0" * 400 + b"]", "not finite: -inf"),
    ],
)
def test_invalid_json_is_an_error_that_names_the_file(content: bytes, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        load_json(content, "a.json", LabelError)


def test_a_byte_order_mark_and_large_numbers_are_read() -> None:
    assert load_json(b"\xef\xbb\xbf[1]", "a.json", LabelError) == [1]
    assert load_json("\ufeff[1]", "a.json", LabelError) == [1]
    assert load_json(str(2**80), "a.json", LabelError) == 2**80


def test_numbers_that_are_not_finite_are_kept_on_request() -> None:
    infinite, missing = load_json(b"[-Infinity, NaN]", "a.json", LabelError, finite=False)
    assert infinite == -math.inf
    assert math.isnan(missing)
    check_finite([missing], nan=True)
    assert without_nan({"a": [missing, 1.5, "x"]}) == {"a": [None, 1.5, "x"]}
