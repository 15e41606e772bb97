"""Frames of video files, through PyAV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fomaug.errors import MediaError, UnsafeFileError, reason_of
from fomaug.files import CLIP, check_regular
from fomaug.media.frames import Frame, check_pixels, to_rgb
from fomaug.media.pace import choose_fps

# Playlists and scripts name other files and addresses; an untrusted clip must not make us open them.
_CONTAINERS = "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,ivf,flv,asf,ogg,gif,apng,mjpeg,nut,rm,wtv,mxf,dv"


def video_fps(path: Path) -> float:
    """Read the mean frame rate off the container."""
    with opened_video(path) as (_, stream):
        return choose_fps(*(rate and float(rate) for rate in (stream.average_rate, stream.guessed_rate)))


def video_frames(path: Path, on_damage: Callable[[str], object]) -> Iterator[tuple[float | None, Frame]]:
    """Decode a video frame by frame, upright.

    Args:
        path: of the file.
        on_damage: called with a sentence when frames are missing or broken; the sound ones are yielded all the same.

    Yields:
        (seconds, picture).
    """
    import av  # opens in a tenth of a second, too long for everyone who imports fomaug

    with opened_video(path) as (container, stream):
        check_pixels(str(path), stream.codec_context.width, stream.codec_context.height)
        count, last = 0, 0.0
        try:
            for frame in container.decode(stream):
                if not frame.is_corrupt:
                    count, last = count + 1, frame.time or last
                    yield frame.time, _upright(path, frame)
        except av.error.FFmpegError as error:
            on_damage(f"damaged after {count} frames ({error.strerror})")
        else:
            length = _seconds(container, stream)
            if length and last < length - max(0.5, 0.02 * length):
                on_damage(f"damaged after {count} frames: {last:.1f} of {length:.1f} seconds can be read")


def _seconds(container: Any, stream: Any) -> float | None:
    """How long the pictures should last, where the container says; the sound may well last longer."""
    if container.format.name == "avi" and stream.average_rate:
        return float(stream.frames / stream.average_rate)  # a cut-off avi forgets its duration, not its frames
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration and len(container.streams) == 1 else None


def _upright(path: Path, frame: Any) -> Frame:
    check_pixels(str(path), frame.width, frame.height)
    if any(component.is_alpha for component in frame.format.components):
        picture = to_rgb(Image.fromarray(frame.to_ndarray(format="rgba")))
    else:
        picture = frame.to_ndarray(format="rgb24")
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(picture, quarters)) if quarters else picture


@contextmanager
def opened_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a video file, and no other it may name: PyAV's container and its first stream of pictures."""
    import av

    try:
        check_regular(path, CLIP)  # FFmpeg, which opens it by its path, would wait for a pipe for ever
        container = av.open(f"file:{path}", options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"})
    except UnsafeFileError as error:
        raise MediaError(str(error)) from error
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise MediaError(f"{path} is not a video that can be read ({reason_of(error)})") from error
    with container:
        if not container.streams.video:
            raise MediaError(f"{path} has no pictures, only {_kinds(container)}")
        yield container, container.streams.video[0]


def _kinds(container: Any) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams})) or "an empty container"
