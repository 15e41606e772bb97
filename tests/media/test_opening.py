"""A picture or clip is a path, bytes or an open file, and never a name that imageio would interpret."""

from __future__ import annotations

import io
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomaug import DrivingPool
from fomaug.errors import ArgumentError, MediaError
from fomaug.media import clip_sound, find_clips, open_video, read_clip, read_frame, read_mark, read_picture
from fomaug.visual import animate_clip

LOOKED_UP = ("imageio:chelsea.png", "http://localhost/a.png", "https://localhost/a.mp4", "<video0>", "<screen>")


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("something was looked up in the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("imageio.core.request.get_remote_file", refuse)
    monkeypatch.setattr("imageio.core.request.urlopen", refuse)


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize(
    "read", [read_clip, read_picture, read_mark, read_frame, find_clips, lambda name: clip_sound(name).__enter__()]
)
@pytest.mark.parametrize("name", [*LOOKED_UP, "a.zip/a.png"])
def test_special_names_of_imageio_are_not_opened(
    name: str, read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zipfile

    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (32, 32)).save("a.png")
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.write("a.png")
    with pytest.raises(MediaError):
        read(name)
    with pytest.raises(MediaError):
        read(str(tmp_path / name))


def test_a_file_of_such_a_name_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, media) -> None:
    monkeypatch.chdir(tmp_path)
    media.write_animation(tmp_path / "a.gif", media.grey_steps(3))
    for name in ("imageio:chelsea.gif", "<video0>.gif"):
        (tmp_path / name).write_bytes((tmp_path / "a.gif").read_bytes())
        assert len(list(read_clip(name))) == 3


@pytest.mark.parametrize("suffix", ["mp4", "gif", "webp"])
def test_a_clip_is_the_same_as_path_bytes_or_open_file(suffix: str, tmp_path: Path, media) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "mp4":
        media.write_video(path, media.grey_steps(9))
    else:
        media.write_animation(path, media.grey_steps(9))
    wanted = read_clip(path)
    with path.open("rb") as opened:
        for given in (str(path), path.read_bytes(), opened, io.BytesIO(path.read_bytes())):
            clip = read_clip(given)
            assert (clip.fps, clip.hash, clip.size) == (wanted.fps, wanted.hash, wanted.size)
            for _ in range(2):
                np.testing.assert_array_equal(list(clip), list(wanted))
            with clip_sound(given) as sound:
                assert sound is None
        both = zip(read_clip(opened), read_clip(opened), strict=True)
        assert all((one == other).all() for one, other in both), "each reader has its own place in the file"


def test_a_picture_is_the_same_as_path_bytes_or_open_file(tmp_path: Path, raw) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(raw.png(np.random.default_rng(0).integers(0, 65536, (20, 30, 3), dtype=np.uint16)))
    with path.open("rb") as opened:
        for given in (str(path), path.read_bytes(), opened, io.BytesIO(path.read_bytes())):
            picture = read_picture(given)
            np.testing.assert_array_equal(picture.pixels, read_picture(path).pixels)
            assert picture.encode_format == "png"


def test_other_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="give a path, bytes or a file that is open for reading bytes, got int"):
        read_clip(3)
    (tmp_path / "a.txt").touch()
    with (tmp_path / "a.txt").open() as text, pytest.raises(ArgumentError, match="got TextIOWrapper"):
        read_picture(text)
    end, other = os.pipe()
    os.close(other)
    with os.fdopen(end, "rb") as pipe, pytest.raises(ArgumentError, match="must be able to seek"):
        read_clip(pipe)
    with pytest.raises(MediaError, match="is empty"):
        read_clip(b"")


@pytest.mark.parametrize("read", [read_clip, read_picture])
def test_an_unusable_open_file_is_refused(read, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (32, 32)).save(path)
    with path.open("rb") as closed:
        pass
    with pytest.raises(ArgumentError, match="the given file is closed"):
        read(closed)
    with path.open("ab") as writing, pytest.raises(ArgumentError, match="open for writing only"):
        read(writing)


@pytest.mark.parametrize("read", [read_clip, read_picture])
@pytest.mark.parametrize("as_type", [str, Path])
@pytest.mark.parametrize(
    "name", ["http://localhost/a.png", "HTTPS://localhost/a.mp4", "s3://bucket/a.mp4", "file:///a.png"]
)
def test_an_address_is_refused_with_a_remedy(name: str, as_type, read) -> None:
    with pytest.raises(MediaError, match="is an address, but only files are read; download it"):
        read(as_type(name))


@pytest.mark.parametrize("read", [read_clip, read_picture])
def test_impossible_paths_are_refused(read) -> None:
    with pytest.raises(ArgumentError, match="the path is empty"):
        read("")
    with pytest.raises(MediaError, match="contains a null character"):
        read("a.png\0")


@pytest.mark.parametrize("read", [read_clip, read_picture, read_mark, find_clips])
@pytest.mark.parametrize("name", ["a" * 300 + ".gif", "a/" * 3000 + "b.png"])
def test_a_name_that_is_too_long_is_refused(name: str, read) -> None:
    with pytest.raises(MediaError, match=r"cannot be read.*File name too long"):
        read(name)


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_an_empty_picture_is_called_empty(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    path.touch()
    for given in (path, b""):
        with pytest.raises(MediaError, match="cannot be read as a picture: it is empty"):
            read_picture(given)
    with pytest.raises(MediaError, match="it is empty"):
        read_frame(path)


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_a_frame_is_the_same_as_path_bytes_or_open_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)).save(path)
    with path.open("rb") as opened:
        for given in (str(path), path.read_bytes(), opened):
            np.testing.assert_array_equal(read_frame(given), read_frame(path))


def test_reading_a_clip_leaves_no_file_open(tmp_path: Path, media) -> None:
    path = media.write_video(tmp_path / "a.mp4", media.grey_steps(9))
    before = _num_open()
    list(read_clip(path))
    next(iter(read_clip(path)))
    with pytest.raises(MediaError):
        read_clip(b"no clip at all" * 100)
    with open_video(tmp_path / "b.mp4", 25) as video:
        video.write(np.zeros((16, 16, 3), np.uint8))
    assert _num_open() == before


def _num_open() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


@pytest.mark.parametrize("suffix", ["mp4", "gif"])
def test_pools_and_animate_accept_bytes_and_open_files(suffix: str, tmp_path: Path, media, tiny_model) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "mp4":
        media.write_video(path, media.grey_steps(5))
    else:
        media.write_animation(path, media.grey_steps(5))
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "face.png")
    wanted = DrivingPool.from_clips(path, tiny_model, crop="frame")
    picture = animate_clip(tmp_path / "face.png", path, tmp_path / "wanted.gif", model=tiny_model, crop="frame")
    with path.open("rb") as opened:
        for given in (path.read_bytes(), opened):
            assert DrivingPool.from_clips(given, tiny_model, crop="frame").names == ("clip-1",)
            pool = DrivingPool.from_clips([path, given], tiny_model, crop="frame")
            assert pool.names == ("a", "clip-2")
            assert {track.clip_hash for track in pool} == {wanted[0].clip_hash}
        face = (tmp_path / "face.png").read_bytes()
        out = animate_clip(face, opened, tmp_path / "out.gif", model=tiny_model, crop="frame")
    assert out.read_bytes() == picture.read_bytes()
