from __future__ import annotations

import numpy as np
import pytest

from fomaug.errors import ArgumentError
from fomaug.media import contact_sheet


def test_each_picture_is_in_its_cell() -> None:
    red, blue = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    sheet = contact_sheet([[red, blue], [blue]], cell=8, gap=1, lead_gap=2)
    assert sheet.shape == (19, 21, 3)
    assert (sheet[1:9, 1:9] == [255, 0, 0]).all()
    assert (sheet[1:9, 12:20] == [0, 0, 255]).all()
    assert (sheet[10:18, 1:9] == [0, 0, 255]).all()
    assert (sheet[10:18, 12:20] == 255).all()


def test_every_kind_of_picture_is_shown_whole() -> None:
    row = [np.zeros(shape, np.uint8) for shape in ((6, 3), (3, 6, 2), (6, 6, 3), (2, 9, 4))]
    sheet = contact_sheet([row], cell=12, gap=0, lead_gap=0)
    assert (sheet[:, 3:9] == 0).all(), "grey, upright, in the middle"
    assert (sheet[:, :3] == 255).all()
    assert (sheet[:, 12:24] == 255).all(), "nothing of a picture that is all transparent"


def test_an_empty_sheet_is_refused() -> None:
    with pytest.raises(ArgumentError, match="at least one picture"):
        contact_sheet([[]])
