"""Clips whose damage the decoders report in unusual ways."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from fomaug.errors import MediaError
from fomaug.media import read_clip


def test_a_video_of_an_unknown_codec_is_refused(tmp_path: Path, media) -> None:
    path = media.write_video(tmp_path / "a.mp4", media.grey_steps(3))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz").replace(b"mp4v", b"zzzz"))
    with pytest.raises(MediaError, match=r"a\.mp4 has a codec that FFmpeg does not support"):
        read_clip(path)


def test_a_gif_that_lacks_its_palette_ends_where_it_cannot_be_decoded(tmp_path: Path) -> None:
    frames = [Image.new("P", (32, 32), number) for number in range(3)]
    for frame in frames:
        frame.putpalette([9, 9, 9, 99, 99, 99, 200, 200, 200] + [0] * 9)
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], transparency=1, disposal=2, duration=40)
    content = buffer.getvalue()
    flags, size = content[10], 3 * 2 ** ((content[10] & 7) + 1)
    path = tmp_path / "a.gif"
    path.write_bytes(content[:10] + bytes([flags & 0x7F]) + content[11:13] + content[13 + size :])
    damage: list[str] = []
    assert len(list(read_clip(path).frames(on_damage=damage.append))) == 1
    assert damage == ["damaged after 1 frames (a palette is missing)"]
