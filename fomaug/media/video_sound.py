"""Sound tracks of written videos: packets are copied where the container supports them, else encoded as AAC."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

import av

from fomaug.media.video import Sound

# Codecs that MP4 players support. MP4 can hold others, such as PCM, but few players play them.
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
