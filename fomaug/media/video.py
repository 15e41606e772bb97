"""Read frames and sound of video files through imageio and PyAV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from fomaug.files import CLIP
from fomaug.media.frames import Frame
from fomaug.media.inputs import MediaFile, MediaInput, media_file
from fomaug.media.opening import imopen
from fomaug.media.stills import is_picture

if TYPE_CHECKING:
    from fomaug.media.video_plugin import VideoPlugin


class Sound(NamedTuple):
    """The first sound track of a clip.

    Attributes:
        stream: PyAV's stream of the open file.
        packets: packets of the stream in the order of the file, up to any damage.
        start: time in seconds of the first picture, on the clock of the packets.
    """

    stream: Any
    packets: Iterator[Any]
    start: float


@contextmanager
def opened_video(file: MediaFile) -> Iterator[VideoPlugin]:
    """Open a video file, but no other file that it refers to."""
    from fomaug.media.video_plugin import VideoPlugin

    with file.open(CLIP) as content, imopen(content, "r", VideoPlugin, name=str(file)) as video:
        yield video


def video_head(file: MediaFile) -> tuple[Frame | None, float, str]:
    """Read the first frame and the frame rate, see `VideoPlugin.probe`."""
    with opened_video(file) as video:
        return video.probe()


def video_frames(file: MediaFile, on_damage: Callable[[str], object]) -> Iterator[tuple[float | None, Frame]]:
    """Decode a video frame by frame, see `VideoPlugin.timed`."""
    with opened_video(file) as video:
        yield from video.timed(on_damage)


@contextmanager
def clip_sound(clip: MediaInput) -> Iterator[Sound | None]:
    """Open the sound of a clip; the value is None for a clip without sound, such as a folder or an animated picture.

    Nothing is decoded, and one packet at a time is in memory.

    Args:
        clip: clip as for `read_clip`.

    Raises:
        MediaError: the file cannot be read.
    """
    file = media_file(clip)
    if file.is_dir or is_picture(file):
        if not file.is_dir:
            file.open(CLIP).close()
        yield None
        return
    with opened_video(file) as video:
        yield video.sound()
