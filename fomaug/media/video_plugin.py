"""A plugin of imageio for videos that adds times, display matrices, pixel aspect ratios and damage.

`fomaug.media.opening` passes the class to `imageio.v3.imopen`. It is not registered with imageio. No filters are used,
so one frame at a time is in memory.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from imageio.core.request import InitializationError, Request
from imageio.plugins.pyav import PyAVPlugin
from PIL import Image

from fomaug.errors import MediaError, reason_of
from fomaug.media.clips import Sound
from fomaug.media.frames import Frame, check_pixels, to_rgb, turn_by_matrix
from fomaug.media.pace import choose_fps, is_even, true_fps

# Playlists and scripts refer to other files and addresses, which an untrusted clip must not open.
_CONTAINERS: Final = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,ivf,flv,asf,ogg,gif,apng,mjpeg,nut,rm,wtv,mxf,dv"
)
_NO_PROTOCOL: Final = "none"  # the file is open already, and no other may be opened by name
_BUFFER: Final = 1 << 18
_PROBED: Final = 64  # number of packets whose times show whether frames are evenly spaced
_REORDERED: Final = 16  # number of the last of these, between which reordered frames may be missing


class VideoPlugin(PyAVPlugin):
    """A video that is read frame by frame.

    Args:
        request: imageio's request for an open file.
        name: name of the file in messages.
    """

    _container: Any
    _video_stream: Any

    def __init__(self, request: Request, *, name: str = "the video") -> None:
        self._name = name
        self._reformatter: VideoReformatter | None = VideoReformatter()
        self._rotation: float | None = None
        self._matrix: tuple[int, ...] | None = None
        options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": _NO_PROTOCOL}
        try:
            super().__init__(request, options=options, buffer_size=_BUFFER)
        except InitializationError as error:  # imageio's message omits FFmpeg's own error
            reason = reason_of(error.__context__ or error)
            raise MediaError(f"{name} is not a video that can be read ({reason})") from error.__context__
        except IndexError as error:
            raise MediaError(f"{name} has no pictures, only {_kinds(self._container)}") from error
        except (ValueError, OSError) as error:
            raise MediaError(f"{name} is not a video that can be read ({reason_of(error)})") from error
        context = self._video_stream.codec_context
        if context is None:
            raise MediaError(f"{name} has a codec that FFmpeg does not support; convert it to H.264")
        check_pixels(name, context.width, context.height)

    def probe(self) -> tuple[Frame | None, float, str]:
        """Decode the first frame and find the frame rate; the plugin cannot be read afterwards.

        Returns:
            The first frame, (H, W, 3) uint8 RGB, or None; frames per second; and the reason for a missing frame.
        """
        first: Frame | None = None
        damage, times = "", list[float]()
        try:
            for count, packet in enumerate(self._container.demux(self._video_stream)):
                times += [] if packet.pts is None else [float(packet.pts * packet.time_base)]
                if first is None:
                    first = next((self._shown(frame) for frame in packet.decode() if not frame.is_corrupt), None)
                elif count == _PROBED and (not times or is_even(sorted(times)[:-_REORDERED], self._nominal_fps())):
                    break  # an uneven clip needs the times of all packets, which are read but not decoded
        except av.error.FFmpegError as error:
            damage = f"damaged after 0 frames ({error.strerror})"
        return first, true_fps(times, self._nominal_fps(), *self._other_rates()), damage

    def timed(self, on_damage: Callable[[str], object]) -> Iterator[tuple[float | None, Frame]]:
        """Decode frame by frame, upright and with square pixels.

        Args:
            on_damage: function that is called with a message if frames are missing or damaged; all others are still
                yielded.

        Yields:
            The presentation time in seconds, if the file has one, and (H, W, 3) uint8 RGB.
        """
        count, end = 0, 0.0
        before: float | None = None
        try:
            for frame in self._decoder:
                if frame.is_corrupt:
                    continue
                count += 1
                if frame.time is not None:
                    gap = 0.0 if before is None else frame.time - before  # for containers without durations
                    duration = float(frame.duration * frame.time_base) if frame.duration else gap
                    end, before = max(end, frame.time + duration), frame.time
                yield frame.time, self._shown(frame)
        except av.error.FFmpegError as error:
            on_damage(f"damaged after {count} frames ({error.strerror})")
        else:
            length = self._seconds()
            if length and end < length - max(0.5, 0.02 * length):
                on_damage(f"damaged after {count} frames: {end:.1f} of {length:.1f} seconds can be read")

    def iter(self, **_: Any) -> Any:
        """Decode frame by frame: (H, W, 3) uint8 RGB, upright and with square pixels."""
        for _time, frame in self.timed(lambda _: None):
            yield frame

    def sound(self) -> Sound | None:
        """Return the sound track, which is not decoded, or None."""
        if not self._container.streams.audio:
            return None
        video, stream = self._video_stream, self._container.streams.audio[0]
        start = float(video.start_time * video.time_base) if video.start_time else 0.0
        return Sound(stream, self._packets(stream), start)

    def close(self) -> None:
        """Close the video, but not its file, which the caller closes.

        imageio's own method runs a garbage collection for the filters that it may have used, which takes a fifth of a
        second. It also frees PyAV's shared converter of pixels; this class has one converter for each video instead.
        """
        self._reformatter = self._decoder = self._video_stream = None
        container, self._container = getattr(self, "_container", None), None
        if container is not None:
            container.close()
        self.request.finish()

    def _packets(self, stream: Any) -> Iterator[Any]:
        try:
            yield from (packet for packet in self._container.demux(stream) if packet.pts is not None)
        except av.error.FFmpegError:
            return  # the damage is reported while the pictures are read

    def _nominal_fps(self) -> float:
        """Return the mean rate of the container."""
        return choose_fps(*map(_number, (self._video_stream.average_rate, self._video_stream.guessed_rate)))

    def _other_rates(self) -> list[float]:
        rates = map(_number, (self._video_stream.guessed_rate, self._video_stream.base_rate))
        return [rate for rate in rates if rate]

    def _seconds(self) -> float | None:
        """Return the duration of the pictures, if the container has it; the sound may be longer."""
        container, stream = self._container, self._video_stream
        if container.format.name == "avi" and stream.average_rate:
            return float(stream.frames / stream.average_rate)  # a truncated avi has no duration, but a frame count
        if stream.duration:
            return float(stream.duration * stream.time_base)
        return container.duration / 1e6 if container.duration and len(container.streams) == 1 else None

    def _shown(self, frame: Any) -> Frame:
        """Convert a frame to RGB with square pixels, upright, on white."""
        width, height = _square_size(frame.width, frame.height, self._video_stream.sample_aspect_ratio)
        check_pixels(self._name, width, height)
        has_alpha = any(component.is_alpha for component in frame.format.components)
        assert self._reformatter is not None, "the video is open"
        layout, resize = "rgba" if has_alpha else "rgb24", (width, height) != (frame.width, frame.height)
        interpolation = "BICUBIC" if resize else None
        shown = self._reformatter.reformat(frame, width, height, format=layout, interpolation=interpolation)
        picture: Frame = np.asarray(shown.to_ndarray(), np.uint8)
        picture = to_rgb(Image.fromarray(picture)) if has_alpha else picture
        matrix = self._matrix_of(frame)
        return picture if matrix is None else np.ascontiguousarray(turn_by_matrix(picture, matrix))

    def _matrix_of(self, frame: Any) -> tuple[int, ...] | None:
        """Return the display matrix of a frame; it is read anew only where the rotation changes.

        PyAV keeps a frame whose side data was read until the next garbage collection, so side data is rarely read.
        """
        if frame.rotation != self._rotation:
            self._rotation = frame.rotation
            matrix = frame.side_data.get("DISPLAYMATRIX")
            self._matrix = None if matrix is None else struct.unpack("=9i", bytes(matrix))
        return self._matrix


def _square_size(width: int, height: int, aspect: Any) -> tuple[int, int]:
    """Return the size with square pixels; the frame is never reduced.

    >>> from fractions import Fraction
    >>> _square_size(180, 256, Fraction(64, 45)), _square_size(720, 480, Fraction(8, 9)), _square_size(4, 3, None)
    ((256, 256), (720, 540), (4, 3))
    """
    if not aspect or aspect == 1:
        return width, height
    return (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))


def _number(rate: Any) -> float | None:
    return float(rate) if rate else None


def _kinds(container: Any) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams})) or "an empty container"
