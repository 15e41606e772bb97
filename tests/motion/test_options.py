from __future__ import annotations

import pytest

from fomaug.errors import ArgumentError
from fomaug.motion import DrawSettings


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"p": 1.5}, r"p must be a probability in \[0, 1\], got 1.5"),
        ({"selection": "divers"}, "'divers'; did you mean 'diverse'"),
        ({"region": "mouht"}, "did you mean 'mouth'"),
        ({"strength_range": (1.0, 0.5)}, "low <= high"),
        ({"strength_range": (-0.5, 0.5)}, "0 or above"),
        ({"yaw_range": (5.0, float("nan"))}, "yaw_range"),
        ({"reference": "nearest"}, "closest, first"),
        ({"reference": -1}, "frame number from 0"),
        ({"reference": None}, "frame number from 0, got None"),
        ({"p": {}}, "probability in .* got {}"),
        ({"p": 10**400}, "a number of hundreds of digits"),
        ({"strength_range": 0.5}, r"low <= high, got \(0.5,\)"),
        ({"strength_range": ("0", "1")}, "low <= high"),
        ({"yaw_range": 3}, "yaw_range"),
        ({"relative": "no"}, "relative must be True or False, got 'no'"),
        ({"seed": 1.5}, "seed must be a whole number, got 1.5"),
    ],
)
def test_the_error_for_a_wrong_setting_names_the_expected_value(setting, message):
    with pytest.raises(ArgumentError, match=message):
        DrawSettings(**setting)
