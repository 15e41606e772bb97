"""Frames of animated pictures and of folders of pictures, through Pillow."""

from __future__ import annotations

import os
import re
import statistics
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count, islice
from pathlib import Path
from typing import Final

from PIL import Image

from fomaug.errors import MediaError, reason_of
from fomaug.files import PICTURE, open_regular
from fomaug.media.frames import Frame, check_pixels, to_rgb
from fomaug.media.opening import FRAME_FORMATS, open_picture
from fomaug.media.pace import choose_fps

ANIMATIONS: Final = (".gif", ".webp", ".apng", ".png")
PICTURES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_UNTIMED: Final = 0.1  # seconds; how long browsers show a frame whose duration is missing or zero
_DAMAGE: Final = (OSError, EOFError, SyntaxError, ValueError, IndexError, struct.error)  # what Pillow's readers raise


def animation_fps(path: Path) -> float:
    """Take the commonest pace of the first frames of a gif, webp or png."""
    durations = [seconds for seconds, _ in islice(_timed(path, lambda _: None), 48)]
    return choose_fps(1 / statistics.median(durations))


def animation_frames(path: Path, on_damage: Callable[[str], object]) -> Iterator[tuple[float | None, Frame]]:
    """Decode an animated picture frame by frame; see `video_frames`."""
    clock = 0.0
    for seconds, picture in _timed(path, on_damage):
        yield clock, picture
        clock += seconds


def folder_frames(path: Path, on_damage: Callable[[str], object]) -> Iterator[tuple[float | None, Frame]]:
    """Read the pictures of a folder in natural order; damaged ones are left out."""
    for file in folder_pictures(path):
        try:
            with _opened(file) as image:
                picture = to_rgb(image)
        except (MediaError, *_DAMAGE) as error:
            on_damage(f"{file.name} is left out ({reason_of(error)})")
        else:
            yield None, picture


def folder_pictures(path: Path) -> list[Path]:
    """List the pictures of a folder: frame 2 before frame 10."""
    found = (file for file in path.iterdir() if file.suffix.lower() in PICTURES and not file.name.startswith("."))
    return sorted(found, key=natural_order)


def natural_order(path: Path) -> tuple[tuple[int, str], ...]:
    """Make a key that sorts numbers in names by value.

    >>> sorted([Path("f10"), Path("f2")], key=natural_order)[0].name
    'f2'
    """
    parts = re.findall(r"\d+|\D+", str(path).casefold())
    return tuple((int(part), "") if part.isascii() and part.isdigit() else (-1, part) for part in parts)


def _timed(path: Path, on_damage: Callable[[str], object]) -> Iterator[tuple[float, Frame]]:
    """Yield (duration in seconds, picture)."""
    with _opened(path) as image:
        for index in count():
            try:
                image.seek(index)
                picture = to_rgb(image)
            except EOFError:
                break
            except _DAMAGE as error:
                on_damage(f"damaged after {index} frames ({reason_of(error)})")
                break
            yield image.info.get("duration", 0) / 1000 or _UNTIMED, picture
    if path.suffix.lower() == ".gif" and not _gif_ends(path):
        on_damage("damaged: the file breaks off before its end mark")


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    with ExitStack() as stack:
        try:
            with warnings.catch_warnings():
                # Frames that Pillow finds large enough to warn of are refused below, with the size.
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                image = stack.enter_context(open_picture(path, FRAME_FORMATS))
        except (Image.DecompressionBombError, *_DAMAGE) as error:
            raise MediaError(f"{path} is not a picture that can be read ({reason_of(error)})") from error
        check_pixels(str(path), *image.size)
        yield image


def _gif_ends(path: Path) -> bool:
    with open_regular(path, PICTURE) as file:
        file.seek(-min(64, os.fstat(file.fileno()).st_size), 2)
        return file.read().rstrip(b"\0").endswith(b";")
