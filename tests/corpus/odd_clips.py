"""Clips: of every kind that is read, and what is none or should not be read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from item import Item, bad, good
from media_parsers import animation_files, encoded, smooth, video_files
from PIL import Image


def clips() -> list[Item]:
    """Make all clips of the corpus; each has a stem of its own."""
    videos = dict(zip(("mp4", "webm", "avi"), video_files(), strict=True))
    animated = dict(zip(("webp", "png"), animation_files("others"), strict=True)) | {"gif": animation_files("GIF")[0]}
    whole = {**videos, **animated}
    items = [good(f"whole {suffix}.{suffix}", content) for suffix, content in whole.items()]
    items += [good(f"small {number}.gif", content) for number, content in enumerate(animation_files("GIF"))]
    items += [good(name, whole["gif"]) for name in ("née.gif", "a b.gif", "$(touch ran).gif", "two\nlines.gif")]
    items += [good(name, whole["mp4"]) for name in ("x.mov", "-y.mkv", "file:z.mp4", "%03d.mp4")]
    items += [good("frames", _frames), bad("other frames", _text_frames)]
    # A broken WebP or PNG is no animation that could be told from a picture.
    items += [bad(f"begun {suffix}.{suffix}", whole[suffix][:10]) for suffix in ("mp4", "webm", "avi", "gif")]
    return [*items, *_no_clips(), *_names_others(), *_no_files()]


def _frames(path: Path) -> None:
    path.mkdir()
    for number in range(4):
        (path / f"{number}.png").write_bytes(encoded(Image.fromarray(smooth(32, 32, seed=number)), "PNG"))
    (path / "4.png").write_bytes(b"broken, and left out")


def _text_frames(path: Path) -> None:
    path.mkdir()
    (path / "0.png").write_bytes(b"no picture")


def _no_clips() -> list[Item]:
    kinds = {"empty": b"", "zeros": bytes(400), "text": b"no clip\n" * 50, "zip": b"PK\x03\x04" + bytes(60)}
    return [
        bad(f"{name} {suffix}.{suffix}", content)
        for name, content in kinds.items()
        for suffix in ("mp4", "avi", "webm", "gif")
    ]


def _names_others() -> list[Item]:
    """Playlists and scripts that would make FFmpeg or Ghostscript open other files."""
    lists = {
        "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "hls": b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        "dash": b'<?xml version="1.0"?><MPD><BaseURL>file:///etc/passwd</BaseURL></MPD>',
        "subtitles": b"1\n00:00:00,000 --> 00:00:01,000\nhello\n",
    }
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n"
    return [bad(f"{name}.mp4", content) for name, content in lists.items()] + [bad("script.gif", eps)]


def _no_files() -> list[Item]:
    makers: dict[str, Any] = {
        "pipe.mp4": os.mkfifo,
        "device.avi": lambda path: path.symlink_to("/dev/zero"),
        "nowhere.gif": lambda path: path.symlink_to("gone.gif"),
    }
    return [bad(name, make) for name, make in makers.items()]
