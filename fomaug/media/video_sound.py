"""A clip's sound beside new pictures: its packets as they are where the container takes them, else as AAC."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

import av

from fomaug.media.video import Sound

# What players of MP4 files play. Others, such as PCM, could stand in one but are heard almost nowhere.
_COPIED: Final = ("aac", "mp3", "ac3", "eac3", "opus", "flac", "alac")
_RATES: Final = (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)  # of AAC
_EARLY: Final = 0.1  # seconds; decoders need what lies just before the first picture, and edit lists hide it


class SoundTrack:
    """Puts sound into a container, as far as its pictures have come.

    Args:
        container: that is being written.
        sound: of the clip.
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
        """Write the packets that begin before a time of the pictures."""
        for packet in self._packets:
            time = float(packet.pts * packet.time_base) - self._start
            if time >= seconds:
                self._packets = chain([packet], self._packets)
                return
            if time > max(-_EARLY, self._last):  # a damaged file may go back in time
                self._last = time
                self._write(packet)

    def _write(self, packet: Any) -> None:
        packet.pts -= round(self._start / packet.time_base)
        packet.dts = packet.pts  # sound comes in the order in which it is heard, and some files leave this out
        packet.stream = self._stream
        self._container.mux(packet)


def can_write(sound: Sound) -> bool:
    """Whether this build of FFmpeg knows the sound's codec and the rest of what describes it."""
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
            continue  # a broken packet is a moment of silence
