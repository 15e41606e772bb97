from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fomaug.errors import MediaError
from fomaug.media import Provenance, open_video, read_mark, save_image


def test_a_picture_that_lost_its_sidecar_is_not_marked(tmp_path: Path) -> None:
    path = save_image(tmp_path / "a.bmp", np.zeros((4, 4, 3), np.uint8), provenance=Provenance("lite-256"))
    assert read_mark(path).synthetic
    (tmp_path / "a.bmp.xmp").unlink()
    assert not read_mark(path).synthetic


def test_a_cut_off_video_is_read_without_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with open_video(path, 25, provenance=Provenance("lite-256")) as video:
        video.write(np.zeros((32, 32, 3), np.uint8))
    content = path.read_bytes()
    for length in range(12, len(content) - 900, 50):
        path.write_bytes(content[:length])
        assert not read_mark(path).synthetic


def test_special_signs_in_names_survive(tmp_path: Path) -> None:
    name = 'a<b>&"c"\u00e9'
    path = save_image(tmp_path / "a.png", np.zeros((4, 4), np.uint8), provenance=Provenance(name))
    assert read_mark(path).model == name


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"no file .*nowhere\.jpg"):
        read_mark(tmp_path / "nowhere.jpg")
