from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from fomaug.errors import MediaError
from fomaug.media import Provenance, encode_image, open_video, read_mark, read_picture, save_image


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


@pytest.mark.parametrize("size", [0, 1, 15, 2**40, 2**62, 2**63 - 1, 2**64 - 1])
def test_a_box_of_any_stated_size_is_read_without_harm(size: int, tmp_path: Path) -> None:
    content = struct.pack(">I4sQ", 1, b"ftyp", size) + bytes(40)
    (tmp_path / "a.mp4").write_bytes(content)
    for given in (tmp_path / "a.mp4", content, io.BytesIO(content)):
        assert not read_mark(given).synthetic


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("kind", "value"), [(2, "x"), (3, 7), (4, 3_000_000_000), (5, (1, 2)), (12, 1.5)])
def test_tags_of_a_wrong_kind_are_left_out(kind: int, value: object, dtype: type) -> None:
    """The mark or the profile of a TIFF file is a number; bytes(3_000_000_000) would fill the memory with zeros."""
    file, profile = io.BytesIO(), 34675
    tags = [(code, kind, 1, value, True) for code in (700, profile)]
    tifffile.imwrite(file, np.zeros((20, 20, 3), dtype), photometric="rgb", extratags=tags, metadata=None)
    picture = read_picture(file)
    assert picture.icc_profile is None
    assert encode_image(picture.whole, "png")
    assert not read_mark(file).synthetic


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "mp4", "gif"])
def test_a_mark_is_the_same_from_path_bytes_or_open_file(suffix: str, tmp_path: Path) -> None:
    path, provenance = tmp_path / f"a.{suffix}", Provenance("lite-256")
    if suffix in ("mp4", "gif"):
        with open_video(path, 25, provenance=provenance) as video:
            video.write(np.zeros((32, 32, 3), np.uint8))
    else:
        save_image(path, np.zeros((32, 32, 3), np.uint8), provenance=provenance)
    with path.open("rb") as opened:
        for given in (path, str(path), path.read_bytes(), opened):
            assert read_mark(given).model == "lite-256"


def test_special_signs_in_names_survive(tmp_path: Path) -> None:
    name = 'a<b>&"c"\u00e9'
    path = save_image(tmp_path / "a.png", np.zeros((4, 4), np.uint8), provenance=Provenance(name))
    assert read_mark(path).model == name


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"no file .*nowhere\.jpg"):
        read_mark(tmp_path / "nowhere.jpg")
