"""Files of a few bytes that state 100 000 x 100 000 pixels are reported as too large, and never decoded."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from fomaug import Animator
from fomaug.errors import MediaError
from fomaug.media import find_clips, is_clip, read_mark
from fomaug.training.pairs import open_clips
from fomaug.visual import animate_clip


@pytest.fixture
def bomb(tmp_path: Path) -> Path:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(100))), chunk(b"IEND", b""))
    path = tmp_path / "clips" / "bomb.png"
    path.parent.mkdir()
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def test_it_is_no_clip_and_hides_none(bomb: Path) -> None:
    (bomb.parent / "real.mp4").write_bytes(b"video")
    assert not is_clip(bomb)
    assert find_clips(bomb.parent) == [bomb.parent / "real.mp4"]


def test_as_a_driver_a_source_a_training_picture_or_a_file_to_verify_it_is_an_error(
    bomb: Path, tiny_model: Animator, tmp_path: Path
) -> None:
    for act in (
        lambda: animate_clip(bomb, bomb, tmp_path / "out.mp4", model=tiny_model),
        lambda: animate_clip(bomb, bomb.parent, tmp_path / "out.mp4", model=tiny_model),
        lambda: open_clips(bomb.parent),
        lambda: read_mark(bomb),
    ):
        with pytest.raises(MediaError, match=r"bomb\.png"):
            act()
