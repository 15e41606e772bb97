"""Frames to MP4, GIF or WebP files, one at a time: memory does not grow with the clip."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fomaug.errors import ArgumentError, MediaError, ShapeError
from fomaug.files import replacing
from fomaug.media.provenance import Provenance
from fomaug.media.suffix import check_suffix
from fomaug.media.video_marks import mark_gif, mark_iso_media, mark_webp
from fomaug.media.video_sound import Sound, SoundTrack, can_write


@dataclass(frozen=True)
class _Kind:
    container: str
    codecs: tuple[str, ...]  # the first that this build of FFmpeg has is taken
    pixels: str
    options: dict[str, str] = field(default_factory=dict)


_KINDS: Final = {
    ".mp4": _Kind("mp4", ("libx264", "libopenh264", "mpeg4"), "yuv420p", {"movflags": "faststart"}),
    ".gif": _Kind("gif", ("gif",), "pal8", {"loop": "0"}),
    ".webp": _Kind("webp", ("libwebp_anim",), "yuv420p", {"loop": "0"}),
}
_MARKS: Final = {".mp4": mark_iso_media, ".gif": mark_gif, ".webp": mark_webp}
_CODEC_OPTIONS: Final = {
    "libx264": {"crf": "18", "preset": "medium"},
    "mpeg4": {"qscale": "3"},
    "libwebp_anim": {"quality": "85"},
}


class VideoWriter:
    """Takes frames one by one; use `open_video` to make one.

    Attributes:
        num_frames: how many were written so far.
    """

    def __init__(self, container: Any, kind: _Kind, fps: float, sound: Sound | None = None) -> None:
        self._container = container
        self._kind = kind
        self._fps = Fraction(fps).limit_denominator(1001)
        self._stream: Any = None
        self._sound: Sound | None = sound if kind.container == "mp4" and sound and can_write(sound) else None
        self._sound_track: SoundTrack | None = None
        self._size = (0, 0)
        self.num_frames = 0

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Append a frame, (H, W, 3) uint8 RGB; all must have the size of the first."""
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ShapeError(f"a video frame must be (H, W, 3) uint8, got {frame.shape} {frame.dtype}")
        if self._stream is None:
            self._size = (frame.shape[0], frame.shape[1])
            self._stream = self._start()
        if frame.shape[:2] != self._size:
            raise ShapeError(f"frame {self.num_frames} is {frame.shape[:2]}, the first one was {self._size}")
        picture = _paletted(frame) if self._kind.pixels == "pal8" else _even(frame)
        picture.pts = self.num_frames
        self.num_frames += 1
        self._send(picture)
        if self._sound_track is not None:
            self._sound_track.write_until(float(self.num_frames / self._fps))

    def finish(self) -> None:
        """Write what the encoder still holds."""
        if self._stream is None:
            raise ArgumentError("a video needs at least one frame")
        self._send(None)

    def _send(self, picture: Any) -> None:
        try:
            packets = self._stream.encode(picture)
        except av.error.FFmpegError as error:
            height, width = self._size
            raise MediaError(
                f"{self._stream.codec_context.name} cannot encode frames of {width} x {height} pixels "
                f"({error.strerror}); H.264 ends at 16384 on a side; use a smaller picture"
            ) from error
        for packet in packets:
            self._container.mux(packet)

    def _start(self) -> Any:
        codec = next((name for name in self._kind.codecs if name in av.codecs_available), self._kind.codecs[0])
        stream = self._container.add_stream(codec, rate=self._fps, options=_CODEC_OPTIONS.get(codec, {}))
        even = self._kind.pixels == "yuv420p"
        stream.height, stream.width = (size + (size % 2 if even else 0) for size in self._size)
        stream.pix_fmt = self._kind.pixels
        if self._sound is not None:
            self._sound_track = SoundTrack(self._container, self._sound)
        return stream


@contextmanager
def open_video(
    path: str | Path, fps: float, *, provenance: Provenance | None = None, sound: Sound | None = None
) -> Iterator[VideoWriter]:
    """Open a video for writing; the file appears, whole and marked, when the block ends well.

    Args:
        path: `.mp4` (H.264, or MPEG-4 where FFmpeg has no H.264), `.gif` or `.webp`; odd sizes gain a line for both
            but GIF.
        fps: frames per second.
        provenance: what the frames were made from; None writes no mark.
        sound: of a clip, see `fomaug.media.clip_sound`, to be heard with the frames, as long as they last. MP4 only:
            the others are silent. AAC, MP3, Opus and the like are copied, what MP4 players do not know becomes AAC.

    Raises:
        ArgumentError: if the suffix is another, or no frame was written.
        MediaError: the encoder takes no pictures of this size, or the disk is full.
    """
    path = Path(path)
    kind = kind_of(path)
    with _explained(path), replacing(path) as temporary:
        with av.open(str(temporary), "w", format=kind.container, options=kind.options) as container:
            writer = VideoWriter(container, kind, fps, sound)
            yield writer
            writer.finish()
        if provenance is not None:
            _MARKS[path.suffix.lower()](temporary, provenance.to_xmp())


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(f"{path} cannot be written ({reason})") from error


def kind_of(path: Path) -> _Kind:
    """Look up how a path's suffix is written."""
    return _KINDS[check_suffix(path, _KINDS)]


def _even(frame: NDArray[np.uint8]) -> Any:
    """Repeat the last line where a size is odd: chroma is kept for every other pixel."""
    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")


def _paletted(frame: NDArray[np.uint8]) -> Any:
    picture = Image.fromarray(frame).quantize(256, method=Image.Quantize.MEDIANCUT)
    colours = np.asarray(picture.getpalette(), np.uint8).reshape(-1, 3)
    palette = np.full((256, 4), 255, np.uint8)  # alpha, red, green, blue
    palette[: len(colours), 1:] = colours
    indices_and_palette: Any = (np.asarray(picture), palette)  # PyAV takes the pair, but its types do not say so
    return av.VideoFrame.from_ndarray(indices_and_palette, format="pal8")
