from __future__ import annotations

import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from fomaug.errors import ArgumentError, MediaError, ShapeError
from fomaug.media import Provenance, open_video, read_mark


def frames(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    rows, columns = np.mgrid[:height, :width]
    return [np.stack([rows * 4, columns * 3, np.full_like(rows, 20 * i)], -1).astype(np.uint8) for i in range(count)]


@pytest.mark.parametrize("suffix", ["mp4", "gif", "webp"])
def test_frames_come_back_and_the_file_is_marked(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    with open_video(path, 25, provenance=Provenance("lite-256", pool_hash="ab")) as video:
        for frame in frames(6):
            video.write(frame)
    found = read_back(path)
    assert len(found) == 6
    assert all(np.abs(a.astype(int) - b).mean() < 8 for a, b in zip(found, frames(6), strict=True))
    assert read_mark(path).model == "lite-256"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def read_back(path: Path) -> list[np.ndarray]:
    if path.suffix == ".mp4":
        with av.open(str(path)) as container:
            assert container.streams.video[0].average_rate == 25
            return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with Image.open(path) as picture:
        found = []
        for i in range(picture.n_frames):
            picture.seek(i)
            found.append(np.asarray(picture.convert("RGB")))
        assert picture.info["loop"] == 0
        return found


def test_odd_sizes_gain_a_line_in_mp4(tmp_path: Path) -> None:
    with open_video(tmp_path / "a.mp4", 25) as video:
        video.write(frames(1, 33, 35)[0])
    assert read_back_size(tmp_path / "a.mp4") == (34, 36)
    assert not read_mark(tmp_path / "a.mp4").synthetic


def read_back_size(path: Path) -> tuple[int, int]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.height, stream.width


def test_an_error_between_frames_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="the first one was"):
        write(tmp_path / "a.mp4", [frames(1)[0], *frames(1, 32, 32)])
    assert not list(tmp_path.iterdir())


def write(path: Path, pictures: list[np.ndarray]) -> None:
    with open_video(path, 25) as video:
        for picture in pictures:
            video.write(picture)


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="at least one frame"), open_video(tmp_path / "a.gif", 25):
        pass


def test_unknown_containers_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ArgumentError, match=r"suffix must be one of .mp4, .gif, .webp"),
        open_video(tmp_path / "a.txt", 25),
    ):
        pass


def test_frames_that_the_encoder_rejects_are_reported_with_their_size(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="cannot encode frames of 17000 x 16 pixels"):
        write(tmp_path / "a.mp4", [np.zeros((16, 17000, 3), np.uint8)])
    assert not list(tmp_path.iterdir())


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MediaError, match=r"a\.mp4 cannot be written \("):
        write(tmp_path / "file" / "a.mp4", frames(1))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of the size of files")
@pytest.mark.parametrize("suffix", ["mp4", "gif", "webp"])
def test_a_disk_that_is_full_amid_a_video_is_the_reason(tmp_path: Path, suffix: str) -> None:
    import resource

    noise = np.random.default_rng(0).integers(0, 256, (60, 64, 64, 3), np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(MediaError, match=rf"a\.{suffix} cannot be written \(File too large\)"):
            write(tmp_path / f"a.{suffix}", list(noise))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())
