"""The sound of a clip, as the packets it has in its file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from fomaug.media.stills import ANIMATIONS, PICTURES
from fomaug.media.video import opened_video


class Sound(NamedTuple):
    """The first sound track of a clip.

    Attributes:
        stream: PyAV's stream, in the file that is open.
        packets: of the stream, in the order of the file; damage ends them.
        start: seconds at which the pictures begin, on the clock of the packets.
    """

    stream: Any
    packets: Iterator[Any]
    start: float


@contextmanager
def clip_sound(path: str | Path) -> Iterator[Sound | None]:
    """Open the sound of a clip; None if it has none, as folders and animated pictures have.

    Memory is that of a packet: nothing is decoded.

    Args:
        path: as for `read_clip`.

    Raises:
        MediaError: the file cannot be read at all.
    """
    path = Path(path)
    if path.is_dir() or path.suffix.lower() in (*ANIMATIONS, *PICTURES):
        yield None
        return
    with opened_video(path) as (container, video):
        sounds = container.streams.audio
        if not sounds:
            yield None
            return
        start = float(video.start_time * video.time_base) if video.start_time else 0.0
        yield Sound(sounds[0], _packets(container, sounds[0]), start)


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    import av

    try:
        yield from (packet for packet in container.demux(stream) if packet.pts is not None)
    except av.error.FFmpegError:
        return  # what is wrong with the file is said in the pass that reads its pictures
