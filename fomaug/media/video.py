"""Frames of video files, through imageio and PyAV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fomaug.files import CLIP
from fomaug.media.frames import Frame
from fomaug.media.inputs import MediaFile
from fomaug.media.opening import imopen

if TYPE_CHECKING:
    from fomaug.media.video_plugin import VideoPlugin


@contextmanager
def opened_video(file: MediaFile) -> Iterator[VideoPlugin]:
    """Open a video file, and no other that it may name."""
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
