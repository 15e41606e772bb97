"""Write MP4, GIF and WebP files frame by frame, with memory that does not grow with the clip."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import ArgumentError, FomaugError, MediaError, ShapeError, reason_of
from fomaug.files import replacing
from fomaug.media.clips import Sound
from fomaug.media.formats import kind_of
from fomaug.media.opening import imopen
from fomaug.media.provenance import Provenance, mark_gif, mark_iso_media, mark_webp

if TYPE_CHECKING:
    from fomaug.media.encoder_plugin import EncoderPlugin

_MARKS: Final = {".mp4": mark_iso_media, ".gif": mark_gif, ".webp": mark_webp}


class VideoWriter:
    """A video that is written frame by frame; use `open_video` to create one.

    Attributes:
        num_frames: number of frames written so far.
    """

    def __init__(self, encoder: EncoderPlugin) -> None:
        self._encoder = encoder
        self._size = (0, 0)
        self.num_frames = 0

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Append a frame, (H, W, 3) uint8 RGB; all must have the size of the first."""
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ShapeError(f"a video frame must be (H, W, 3) uint8, got {frame.shape} {frame.dtype}")
        if not self.num_frames:
            self._size = (frame.shape[0], frame.shape[1])
        if frame.shape[:2] != self._size:
            raise ShapeError(f"frame {self.num_frames} is {frame.shape[:2]}, the first one was {self._size}")
        self._encoder.write_frame(frame)
        self.num_frames += 1

    def finish(self) -> None:
        """Write the frames that the encoder has buffered."""
        if not self.num_frames:
            raise ArgumentError("a video needs at least one frame")
        self._encoder.finish()


@contextmanager
def open_video(
    path: str | Path, fps: float, *, provenance: Provenance | None = None, sound: Sound | None = None
) -> Iterator[VideoWriter]:
    """Open a video for writing; the complete and marked file appears when the block ends without an error.

    Args:
        path: path with the suffix `.mp4` (H.264, or MPEG-4 where FFmpeg has no H.264; BT.709 in the limited range),
            `.gif` or `.webp`; odd sizes are padded to even ones except in GIF.
        fps: frames per second.
        provenance: content of the mark; None writes no mark.
        sound: sound of a clip, see `fomaug.media.clip_sound`, which is cut to the length of the frames. Only MP4 has
            sound. AAC, MP3, Opus and the like are copied; codecs that MP4 players lack are converted to AAC.

    Raises:
        ArgumentError: the suffix is unknown, or no frame was written.
        MediaError: the encoder does not support frames of this size, or the disk is full.
    """
    from fomaug.media.encoder_plugin import EncoderPlugin

    path = Path(path)
    kind = kind_of(path)
    with _explained(path), replacing(path) as temporary:
        # FFmpeg reads the written file again to move the header of an MP4 before its pictures, so the file is
        # unbuffered. The name is absolute, since the start of a relative one could be taken for a protocol.
        with (
            temporary.absolute().open("wb", buffering=0) as file,
            imopen(file, "w", EncoderPlugin, extension=path.suffix, kind=kind, fps=fps, sound=sound) as encoder,
        ):
            writer = VideoWriter(encoder)
            yield writer
            writer.finish()
        if provenance is not None:
            _MARKS[path.suffix.lower()](temporary, provenance.to_xmp())


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    import av

    try:
        yield
    except FomaugError:
        raise
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(f"{path} cannot be written ({reason_of(error)})") from error
