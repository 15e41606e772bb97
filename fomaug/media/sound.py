"""The sound of a clip, as the packets it has in its file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from fomaug.media.inputs import MediaInput, media_file
from fomaug.media.stills import is_picture
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
def clip_sound(clip: MediaInput) -> Iterator[Sound | None]:
    """Open the sound of a clip; None if it has none, as folders and animated pictures have.

    Memory is that of a packet: nothing is decoded.

    Args:
        clip: as for `read_clip`.

    Raises:
        MediaError: the file cannot be read at all.
    """
    file = media_file(clip)
    if file.is_dir or is_picture(file):
        yield None
        return
    with opened_video(file) as video:
        yield video.sound()
