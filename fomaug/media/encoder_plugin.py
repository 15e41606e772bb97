"""A plugin of imageio that writes videos: MP4, GIF and WebP.

`fomaug.media.opening` passes the class to `imageio.v3.imopen`. It is not registered with imageio.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from typing import Any, Final

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from imageio.core.request import Request
from imageio.plugins.pyav import PyAVPlugin
from numpy.typing import NDArray
from PIL import Image

from fomaug.errors import MediaError
from fomaug.media.clips import Sound
from fomaug.media.formats import Kind

# Codecs that MP4 players support. MP4 allows others, such as PCM, which few players support.
_COPIED: Final = ("aac", "mp3", "ac3", "eac3", "opus", "flac", "alac")
_RATES: Final = (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)  # sample rates of AAC
_EARLY: Final = 0.1  # seconds of sound kept before the first picture: decoders need it, and edit lists hide it


class SoundTrack:
    """A sound track that is written along with the pictures of a container.

    Args:
        container: PyAV's container that is being written.
        sound: sound of the clip.
    """

    def __init__(self, container: Any, sound: Sound) -> None:
        self._container = container
        self._start = sound.start
        self._last = -math.inf
        if sound.stream.codec_context.codec.canonical_name in _COPIED:
            self._stream = container.add_stream_from_template(sound.stream)
            self._packets = sound.packets
        else:
            self._stream = _add_aac(container, sound.stream.codec_context)
            self._packets = _encoded(sound.packets, self._stream)

    def write_until(self, seconds: float) -> None:
        """Write the packets that begin before a time, in seconds from the first picture."""
        for packet in self._packets:
            time = float(packet.pts * packet.time_base) - self._start
            if time >= seconds:
                self._packets = chain([packet], self._packets)
                return
            if time > max(-_EARLY, self._last):  # times in a damaged file may decrease
                self._last = time
                self._write(packet)

    def _write(self, packet: Any) -> None:
        packet.pts -= round(self._start / packet.time_base)
        packet.dts = packet.pts  # sound packets are in the order of presentation, and some files lack decoding times
        packet.stream = self._stream
        self._container.mux(packet)


def can_write(sound: Sound) -> bool:
    """Return whether this build of FFmpeg can decode the sound and its parameters are known."""
    context = sound.stream.codec_context
    return context is not None and bool(context.sample_rate) and bool(context.layout.channels)


def _add_aac(container: Any, source: Any) -> Any:
    layout = "mono" if len(source.layout.channels) == 1 else "stereo"
    rate = source.sample_rate if source.sample_rate in _RATES else _RATES[0]
    stream = container.add_stream("aac", rate=rate, layout=layout)
    stream.bit_rate = 96_000 * len(stream.layout.channels)
    return stream


def _encoded(packets: Iterator[Any], stream: Any) -> Iterator[Any]:
    resampler = av.AudioResampler("fltp", stream.layout, stream.rate)
    for frame in _decoded(packets):
        for part in resampler.resample(frame):
            yield from stream.encode(part)
    yield from stream.encode(None)


def _decoded(packets: Iterator[Any]) -> Iterator[Any]:
    for packet in packets:
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            continue  # a damaged packet is skipped, which leaves a short silence


_BT709: Final = 1  # code of these primaries, transfer and matrix in the video standards
_LIMITED: Final = 1


class EncoderPlugin(PyAVPlugin):
    """A video that is written frame by frame.

    Args:
        request: imageio's request for a file that is open for writing.
        kind: container and encoder.
        fps: frames per second.
        sound: sound track that is added where the container supports it, or None.
    """

    _container: Any
    _video_stream: Any

    def __init__(self, request: Request, *, kind: Kind, fps: float, sound: Sound | None = None) -> None:
        super().__init__(request, container=kind.container, options=kind.options)
        self._kind = kind
        self._fps = Fraction(fps).limit_denominator(1001)
        self._sound = sound if kind.container == "mp4" and sound is not None and can_write(sound) else None
        self._sound_track: SoundTrack | None = None
        self._size = (0, 0)
        self._reformatter = VideoReformatter()

    def write_frame(self, frame: NDArray[np.uint8], **_: Any) -> None:
        """Append a frame, (H, W, 3) uint8 RGB, of the size of the first."""
        if self._video_stream is None:
            self._size = (frame.shape[0], frame.shape[1])
            self._start()
        picture = _paletted(frame) if self._kind.pixels == "pal8" else self._encodable(frame)
        picture.pts = self.frames_written
        self.frames_written += 1
        self._send(picture)
        if self._sound_track is not None:
            self._sound_track.write_until(float(self.frames_written / self._fps))

    def write(self, ndimage: Any, **_: Any) -> None:
        """Append frames, (T, H, W, 3) uint8 RGB."""
        for frame in ndimage:
            self.write_frame(frame)

    def finish(self) -> None:
        """Write the frames that the encoder has buffered."""
        self._send(None)

    def close(self) -> None:
        """Close the video, but not its file, which the caller closes. Without `finish` the video is incomplete."""
        self._video_stream = self._sound_track = None
        container, self._container = getattr(self, "_container", None), None
        if container is not None:
            container.close()
        self.request.finish()

    def _start(self) -> None:
        """Add the streams once the frame size is known."""
        codec = next((name for name in self._kind.codecs if name in av.codecs_available), self._kind.codecs[0])
        stream = self._container.add_stream(codec, rate=self._fps, options=self._kind.codec_options.get(codec, {}))
        even = self._kind.pixels == "yuv420p"
        stream.height, stream.width = (size + (size % 2 if even else 0) for size in self._size)
        stream.pix_fmt = self._kind.pixels
        if self._kind.tagged:
            context = stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED
        self._video_stream = stream
        if self._sound is not None:
            self._sound_track = SoundTrack(self._container, self._sound)

    def _send(self, picture: Any) -> None:
        try:
            packets = self._video_stream.encode(picture)
        except av.error.FFmpegError as error:
            height, width = self._size
            raise MediaError(
                f"{self._video_stream.codec_context.name} cannot encode frames of {width} x {height} pixels "
                f"({error.strerror}); H.264 allows at most 16384 on a side; use a smaller picture"
            ) from error
        for packet in packets:
            self._container.mux(packet)

    def _encodable(self, frame: NDArray[np.uint8]) -> Any:
        """Pad odd sizes to even ones, since chroma is subsampled by two; convert the colours of tagged videos."""
        height, width = frame.shape[:2]
        if height % 2 or width % 2:
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        if not self._kind.tagged:
            return picture
        converted = self._reformatter.reformat(
            picture, format=self._kind.pixels, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        converted.colorspace, converted.color_range = _BT709, _LIMITED
        return converted


def _paletted(frame: NDArray[np.uint8]) -> Any:
    picture = Image.fromarray(frame).quantize(256, method=Image.Quantize.MEDIANCUT)
    colours = np.asarray(picture.getpalette(), np.uint8).reshape(-1, 3)
    palette = np.full((256, 4), 255, np.uint8)  # alpha, red, green, blue
    palette[: len(colours), 1:] = colours
    indices_and_palette: Any = (np.asarray(picture), palette)  # PyAV accepts this pair, which its annotations omit
    return av.VideoFrame.from_ndarray(indices_and_palette, format="pal8")
