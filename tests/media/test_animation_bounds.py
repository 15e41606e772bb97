"""Animated pictures that are too large are errors before they are decoded."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomaug import Animator, DrivingPool
from fomaug.errors import MediaError, PoolError
from fomaug.media import read_clip, save_image
from fomaug.media.frames import to_rgb
from fomaug.visual import animate_clip


def gif(canvas: tuple[int, int], frames: list[tuple[int, int]]) -> bytes:
    """Make a GIF whose frames have one pixel of data each, whatever size they state."""
    head = b"GIF89a" + struct.pack("<HHBBB", *canvas, 0x80, 0, 0) + bytes([0, 0, 0, 255, 255, 255])
    control = b"\x21\xf9\x04\0\x04\0\0\0"
    data = b"\x02\x02\x44\x01\0"
    return head + b"".join(control + b"\x2c" + struct.pack("<HHHHB", 0, 0, *size, 0) + data for size in frames) + b";"


def test_many_large_frames_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(gif((2000, 2000), [(1, 1)] * 2200))
    start = time.perf_counter()
    with pytest.raises(MediaError, match=r"a\.gif has 2200 frames of 2000 x 2000 pixels, together more than"):
        read_clip(tmp_path / "a.gif")
    assert time.perf_counter() - start < 2
    assert read_clip(tmp_path / "a.gif", max_frames=1).size == (2000, 2000)


def small_clip(path: Path) -> Path:
    frames = [Image.fromarray(np.random.default_rng(i).integers(0, 255, (64, 64, 3), np.uint8)) for i in range(4)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40)
    return path


def test_no_frame_beyond_max_frames_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[object] = []
    monkeypatch.setattr("fomaug.media.picture_plugin.to_rgb", lambda image: decoded.append(image) or to_rgb(image))
    clip = read_clip(small_clip(tmp_path / "a.gif"), max_frames=1)
    assert (len(decoded), clip.fps) == (1, 25.0)


def test_a_frame_beyond_the_limit_is_named(tmp_path: Path) -> None:
    path = small_clip(tmp_path / "a.gif")
    (tmp_path / "b.gif").write_bytes(path.read_bytes()[:-1] + gif((1, 1), [(30000, 30000)])[19:])
    damage: list[str] = []
    assert len(list(read_clip(tmp_path / "b.gif").frames(on_damage=damage.append))) == 4
    assert len(damage) == 1
    assert damage[0].startswith("damaged after 4 frames (")


def test_neither_a_pool_nor_animate_ends_in_a_traceback(tmp_path: Path, tiny_model: Animator) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    small_clip(clips / "good.gif")
    (clips / "large.gif").write_bytes(gif((64, 64), [(30000, 30000)] * 2))
    pool = DrivingPool.from_clips(clips, tiny_model, crop="frame")
    assert pool.names == ("good",)
    assert [name for name, _ in pool.skipped] == ["large"]
    with pytest.raises(PoolError, match="none of 1 clips can be used"):
        DrivingPool.from_clips(clips / "large.gif", tiny_model, crop="frame")
    save_image(tmp_path / "face.png", np.full((64, 64, 3), 90, np.uint8))
    with pytest.raises(MediaError, match=r"large\.gif"):
        animate_clip(tmp_path / "face.png", clips / "large.gif", tmp_path / "out.mp4", model=tiny_model)
