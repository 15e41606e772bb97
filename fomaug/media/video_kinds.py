"""The kinds of videos that are written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fomaug.media.suffix import check_suffix


@dataclass(frozen=True)
class Kind:
    """A kind of video.

    Attributes:
        container: FFmpeg's name of it.
        codecs: encoders; the first that this build of FFmpeg has is taken.
        pixels: FFmpeg's name of the layout that they encode.
        options: of the container.
        codec_options: of each encoder.
        tagged: colours are BT.709 in the limited range, and the file says so. WebP has no tags; it means BT.601.
    """

    container: str
    codecs: tuple[str, ...]
    pixels: str
    options: dict[str, str] = field(default_factory=dict)
    codec_options: dict[str, dict[str, str]] = field(default_factory=dict)
    tagged: bool = False


_KINDS: Final = {
    ".mp4": Kind(
        "mp4",
        ("libx264", "libopenh264", "mpeg4"),
        "yuv420p",
        {"movflags": "faststart"},
        {"libx264": {"crf": "18", "preset": "medium"}, "mpeg4": {"qscale": "3"}},
        tagged=True,
    ),
    ".gif": Kind("gif", ("gif",), "pal8", {"loop": "0"}),
    ".webp": Kind("webp", ("libwebp_anim",), "yuv420p", {"loop": "0"}, {"libwebp_anim": {"quality": "85"}}),
}


def kind_of(path: Path) -> Kind:
    """Look up how a path's suffix is written."""
    return _KINDS[check_suffix(path, _KINDS)]
