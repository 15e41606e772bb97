"""Frames of animated pictures and of folders of pictures, through Pillow."""

from __future__ import annotations

import io
import re
import statistics
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PIL import Image

from fomaug.errors import MediaError, reason_of
from fomaug.files import CLIP, PICTURE
from fomaug.media.formats import PICTURE_FORMATS
from fomaug.media.frames import Frame, check_pixels
from fomaug.media.opening import DAMAGE, MediaFile, MediaInput, identify, media_file
from fomaug.media.pace import DEFAULT_FPS, choose_fps

if TYPE_CHECKING:
    from fomaug.media.picture_plugin import PicturePlugin

OnDamage = Callable[[str], object]

ANIMATIONS: Final = (".gif", ".webp", ".apng", ".png", ".avif")
PICTURES: Final = (
    *(".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".ppm", ".pgm"),
)
_UNTIMED: Final = 0.1  # seconds for which browsers show a frame whose duration is missing or zero
_PROBED: Final = 48  # number of frames whose durations determine the frame rate
_MOST_PIXELS: Final = 1 << 33
"""Largest number of pixels in all frames of an animation, half a minute of decoding; small frames are exempt."""
_SMALL: Final = 1 << 20


def is_picture(file: MediaFile) -> bool:
    """Return whether a file is read as a picture: a path by its suffix, bytes and open files by their content."""
    if file.content is not None:
        return file.starts_as_picture(CLIP)
    return file.path.suffix.lower() in (*ANIMATIONS, *PICTURES)


def animation_head(file: MediaFile, max_frames: int | None) -> tuple[Frame | None, float, str]:
    """Read the first frame of a gif, webp or png, and the median frame rate of its first frames, up to `max_frames`.

    Raises:
        MediaError: the file is no such picture, or the sum of its frames is too large to be decoded.
    """
    first, durations, damages = None, list[float](), list[str]()
    for seconds, frame in islice(_timed(file, damages.append, max_frames), min(_PROBED, max_frames or _PROBED)):
        first = frame if first is None else first
        durations.append(seconds)
    fps = choose_fps(1 / statistics.median(durations)) if durations else DEFAULT_FPS
    return first, fps, damages[0] if damages else ""


def animation_frames(file: MediaFile, on_damage: OnDamage) -> Iterator[tuple[float | None, Frame]]:
    """Decode an animated picture frame by frame; see `video_frames`."""
    clock = 0.0
    for seconds, picture in _timed(file, on_damage):
        yield clock, picture
        clock += seconds


def folder_frames(path: Path, on_damage: OnDamage) -> Iterator[tuple[float | None, Frame]]:
    """Read the pictures of a folder in natural order; damaged ones are omitted."""
    for file in folder_pictures(path):
        try:
            yield None, read_frame(file)
        except MediaError as error:
            on_damage(f"{file.name} is left out ({reason_of(error.__cause__ or error)})")


def read_frame(picture: MediaInput) -> Frame:
    """Read a picture, or the first of its frames, as (H, W, 3) uint8 RGB on white, upright.

    Args:
        picture: path, bytes, or a file that is open for reading bytes.

    Raises:
        MediaError: the picture is too large, damaged, or of another kind.
    """
    file = media_file(picture)
    with _opened(file) as opened:
        try:
            return next(opened.iter())
        except (StopIteration, *DAMAGE) as error:
            raise MediaError(f"{file} cannot be read: {reason_of(error)}") from error


def folder_pictures(path: Path) -> list[Path]:
    """List the pictures of a folder in natural order: frame 2 comes before frame 10."""
    found = (file for file in path.iterdir() if file.suffix.lower() in PICTURES and not file.name.startswith("."))
    return sorted(found, key=natural_order)


def natural_order(path: Path) -> tuple[tuple[int, str], ...]:
    """Return a key that sorts numbers in names by value.

    >>> sorted([Path("f10"), Path("f2")], key=natural_order)[0].name
    'f2'
    """
    parts = re.findall(r"\d+|\D+", str(path).casefold())
    return tuple((int(part), "") if part.isascii() and part.isdigit() else (-1, part) for part in parts)


def _timed(file: MediaFile, on_damage: OnDamage, max_frames: int | None = None) -> Iterator[tuple[float, Frame]]:
    """Yield (duration in seconds, picture)."""
    with _opened(file) as picture:
        _check_total(file, picture, max_frames)
        count = 0
        try:
            for seconds, frame in picture.timed():
                count += 1
                yield seconds or _UNTIMED, frame
        except DAMAGE as error:
            on_damage(f"damaged after {count} frames ({reason_of(error)})")
            return
        ends = picture.format != "GIF" or _gif_ends(file)
    if not ends:
        on_damage("damaged: the file ends before its end mark")


def _check_total(file: MediaFile, picture: PicturePlugin, max_frames: int | None) -> None:
    """Raise an error for an animation that takes minutes to decode; small frames are not counted, to save time."""
    width, height = picture.size
    if width * height <= _SMALL:
        return
    try:
        count = picture.num_frames
    except DAMAGE:
        return  # the damage is reported while the frames are read
    if max_frames is not None:
        count = min(count, max_frames)
    if count > 1 and count * width * height > _MOST_PIXELS:
        raise MediaError(
            f"{file} has {count} frames of {width} x {height} pixels, together more than {_MOST_PIXELS:,} pixels; "
            "scale it down, or convert it to a video"
        )


@contextmanager
def _opened(file: MediaFile) -> Iterator[PicturePlugin]:
    with ExitStack() as stack:
        content = stack.enter_context(file.open(PICTURE))
        try:
            with warnings.catch_warnings():
                # Pillow warns of large pictures, which are refused below with their size.
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                picture = stack.enter_context(identify(content, PICTURE_FORMATS, name=str(file)))
        except DAMAGE as error:
            raise MediaError(f"{file} is not a picture that can be read ({reason_of(error)})") from error
        check_pixels(str(file), *picture.size)
        yield picture


def _gif_ends(file: MediaFile) -> bool:
    with file.open(PICTURE) as content:
        content.seek(-min(64, content.seek(0, io.SEEK_END)), io.SEEK_END)
        return content.read().rstrip(b"\0").endswith(b";")
