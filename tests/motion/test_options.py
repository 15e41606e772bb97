from __future__ import annotations

import pytest

from fomaug.errors import ArgumentError
from fomaug.motion import DrawSettings


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"p": 1.5}, r"p is a probability in \[0, 1\], got 1.5"),
        ({"selection": "divers"}, "'divers'; did you mean 'diverse'"),
        ({"region": "mouht"}, "did you mean 'mouth'"),
        ({"strength_range": (1.0, 0.5)}, "low <= high"),
        ({"strength_range": (-0.5, 0.5)}, "0 or above"),
        ({"yaw_range": (5.0, float("nan"))}, "yaw_range"),
        ({"reference": "nearest"}, "closest, first"),
        ({"reference": -1}, "frame number from 0"),
    ],
)
def test_wrong_setting_says_what_is_expected(setting, message):
    with pytest.raises(ArgumentError, match=message):
        DrawSettings(**setting)
