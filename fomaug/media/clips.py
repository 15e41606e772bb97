"""Driving clips, read as a stream."""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from fomaug.errors import ArgumentError, MediaError
from fomaug.files import CLIP, PICTURE, open_regular
from fomaug.media.formats import FRAME_FORMATS
from fomaug.media.frames import Frame, fit
from fomaug.media.inputs import MediaFile, MediaInput, media_file
from fomaug.media.opening import DAMAGE, identify
from fomaug.media.pace import DEFAULT_FPS, even_pace
from fomaug.media.stills import (
    ANIMATIONS,
    PICTURES,
    animation_frames,
    animation_head,
    folder_frames,
    folder_pictures,
    is_picture,
    natural_order,
)
from fomaug.media.video import video_frames, video_head

VIDEOS: Final = (
    ".mp4",
    ".webm",
    ".avi",
    ".mov",
    ".mkv",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".ts",
    ".wmv",
    ".flv",
    ".ogv",
    ".3gp",
)
_PERHAPS_ANIMATED: Final = (".webp", ".png", ".avif")
OnDamage = Callable[[str], object]


class DamagedClipWarning(UserWarning):
    """Some frames of a clip cannot be read; the others were."""


@dataclass(frozen=True)
class Clip:
    """A video, an animated picture or a folder of pictures; no frame is kept.

    Attributes:
        path: of the file or folder.
        fps: frames per second at which `frames` are spaced.
        hash: sha256 of the bytes; of a folder, of its pictures' names and bytes.
        size: (H, W) of every frame.
        max_frames: frames after these are not read; None for all.
        content: bytes or open file of a clip that was not given as a path.
    """

    path: Path
    fps: float
    hash: str
    size: tuple[int, int]
    max_frames: int | None = None
    content: bytes | BinaryIO | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Of the file or folder, without its suffix."""
        return self.path.name if self.path.is_dir() else self.path.stem

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, *, on_damage: OnDamage | None = None) -> Iterator[Frame]:
        """Decode the clip from its start; memory is that of a frame, however long the clip.

        Frames are turned upright, pixels made square, times evened out to `fps`, and frames of another size fitted into
        the first one's.

        Args:
            on_damage: called with a sentence when frames cannot be read; by default a `DamagedClipWarning` says so.

        Yields:
            (H, W, 3) uint8 RGB.
        """
        stream = _frames(MediaFile(self.path, self.content), on_damage or self._warn)
        for picture in islice(even_pace(stream, self.fps), self.max_frames):
            yield fit(picture, self.size)

    def _warn(self, damage: str) -> None:
        warnings.warn(f"{self.path}: {damage}", DamagedClipWarning, stacklevel=2)


def read_clip(path: MediaInput, *, fps: float | None = None, max_frames: int | None = None) -> Clip:
    """Open a clip and prove that its first frame can be read.

    Args:
        path: mp4, webm, avi, mov and the like; gif, animated webp or png; or a folder of pictures in natural order. A
            file may also be given as its bytes, or open for reading them.
        fps: instead of what the file says; folders say nothing and take 25.
        max_frames: read no more than these.

    Raises:
        MediaError: if the file is missing, empty, no clip, too large or broken from the start.
    """
    if max_frames is not None and max_frames < 1:
        raise ArgumentError(f"max_frames must be 1 or more, got {max_frames}")
    if fps is not None and fps <= 0:
        raise ArgumentError(f"fps must be more than 0, got {fps}")
    file = media_file(path)
    _check_exists(file)
    first, found_fps, damage = _head(file, max_frames)
    if first is None:
        raise MediaError(f"{file} has no frame that can be read" + (f" ({damage})" if damage else ""))
    height, width, _ = first.shape
    digest = _hash_folder(file.path) if file.is_dir else file.hash(CLIP)
    return Clip(file.path, fps or found_fps, digest, (height, width), max_frames, file.content)


def find_clips(root: str | Path) -> list[Path]:
    """List the clips below a folder, in natural order.

    Every video and animated picture is a clip, and so is every folder that holds pictures and no video. A file, or a
    folder that is itself a clip, gives itself.
    """
    root = Path(root)
    if not root.exists():
        raise MediaError(f"there is no file or folder {root}")
    if not root.is_dir():
        return [root]
    children = sorted((child for child in root.iterdir() if not child.name.startswith(".")), key=natural_order)
    clips = [child for child in children if not child.is_dir() and is_clip(child)]
    if not clips and any(child.is_file() and child.suffix.lower() in PICTURES for child in children):
        clips = [root]
    return clips + [clip for child in children if child.is_dir() for clip in find_clips(child)]


def is_clip(path: Path) -> bool:
    """Whether a path is a clip by its kind: a folder, a video, or a picture that is animated."""
    if path.is_dir():
        return True
    suffix = path.suffix.lower()
    if suffix not in _PERHAPS_ANIMATED:
        return suffix in VIDEOS or suffix in ANIMATIONS
    try:
        with MediaFile(path).open(PICTURE) as file, identify(file, FRAME_FORMATS) as picture:
            return picture.num_frames > 1
    except DAMAGE:
        return False


def _check_exists(file: MediaFile) -> None:
    if file.content is None and not file.path.exists():
        raise MediaError(f"there is no clip {file}")
    if file.is_dir:
        if not folder_pictures(file.path):
            raise MediaError(f"folder {file} holds no pictures; known are {', '.join(PICTURES)}")
        return
    with file.open(CLIP) as content:
        if not content.read(1):
            raise MediaError(f"{file} is empty")


def _head(file: MediaFile, max_frames: int | None) -> tuple[Frame | None, float, str]:
    """Read the first frame and the frame rate; without a frame, say why there is none."""
    if file.is_dir:
        damages: list[str] = []
        first = next(folder_frames(file.path, damages.append), None)
        return None if first is None else first[1], DEFAULT_FPS, damages[0] if damages else ""
    return animation_head(file, max_frames) if is_picture(file) else video_head(file)


def _frames(file: MediaFile, on_damage: OnDamage) -> Iterator[tuple[float | None, Frame]]:
    if file.is_dir:
        return folder_frames(file.path, on_damage)
    return animation_frames(file, on_damage) if is_picture(file) else video_frames(file, on_damage)


def _hash_folder(path: Path) -> str:
    digest = hashlib.sha256()
    for file in folder_pictures(path):
        size = file.stat().st_size if file.exists() else 0
        digest.update(f"{file.name}\0{size}\0".encode("utf-8", "surrogatepass"))
        with contextlib.suppress(OSError), open_regular(file, PICTURE) as stream:  # else it is left out of the frames
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
