"""Driving clips, read as a stream."""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from PIL import Image

from fomaug.errors import ArgumentError, MediaError, UnsafeFileError, reason_of
from fomaug.files import CLIP, PICTURE, check_regular, open_regular, sha256_of
from fomaug.media.frames import Frame, fit
from fomaug.media.opening import FRAME_FORMATS, open_picture
from fomaug.media.pace import DEFAULT_FPS, even_pace
from fomaug.media.stills import (
    ANIMATIONS,
    PICTURES,
    animation_fps,
    animation_frames,
    folder_frames,
    folder_pictures,
    natural_order,
)
from fomaug.media.video import video_fps, video_frames

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
    """

    path: Path
    fps: float
    hash: str
    size: tuple[int, int]
    max_frames: int | None = None

    @property
    def name(self) -> str:
        """Of the file or folder, without its suffix."""
        return self.path.name if self.path.is_dir() else self.path.stem

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, *, on_damage: OnDamage | None = None) -> Iterator[Frame]:
        """Decode the clip from its start; memory is that of a frame, however long the clip.

        Rotation is applied, times are evened out to `fps`, frames of another size are fitted into the first one's.

        Args:
            on_damage: called with a sentence when frames cannot be read; by default a `DamagedClipWarning` says so.

        Yields:
            (H, W, 3) uint8 RGB.
        """
        stream = _frames(self.path, on_damage or self._warn)
        for picture in islice(even_pace(stream, self.fps), self.max_frames):
            yield fit(picture, self.size)

    def _warn(self, damage: str) -> None:
        warnings.warn(f"{self.path}: {damage}", DamagedClipWarning, stacklevel=2)


def read_clip(path: str | Path, *, fps: float | None = None, max_frames: int | None = None) -> Clip:
    """Open a clip and prove that its first frame can be read.

    Args:
        path: mp4, webm, avi, mov and the like; gif, animated webp or png; or a folder of pictures in natural order.
        fps: instead of what the file says; folders say nothing and take 25.
        max_frames: read no more than these.

    Raises:
        MediaError: if the file is missing, empty, no clip, too large or broken from the start.
    """
    path = Path(path)
    if max_frames is not None and max_frames < 1:
        raise ArgumentError(f"max_frames must be 1 or more, got {max_frames}")
    if fps is not None and fps <= 0:
        raise ArgumentError(f"fps must be more than 0, got {fps}")
    _check_exists(path)
    damages: list[str] = []
    first = next(_frames(path, damages.append), None)
    if first is None:
        raise MediaError(f"{path} has no frame that can be read" + (f" ({damages[0]})" if damages else ""))
    height, width, _ = first[1].shape
    return Clip(path, fps or _fps(path), _hash(path), (height, width), max_frames)


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
    if suffix not in (".webp", ".png"):
        return suffix in VIDEOS or suffix in ANIMATIONS
    try:
        with open_picture(path, FRAME_FORMATS) as image:
            return getattr(image, "n_frames", 1) > 1
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise MediaError(f"there is no clip {path}")
    if path.is_dir() and not folder_pictures(path):
        raise MediaError(f"folder {path} holds no pictures; known are {', '.join(PICTURES)}")
    if path.is_dir():
        return
    try:
        check_regular(path, CLIP)
    except UnsafeFileError as error:
        raise MediaError(str(error)) from error
    except OSError as error:
        raise MediaError(f"{path} cannot be read ({reason_of(error)})") from error
    if not path.stat().st_size:
        raise MediaError(f"{path} is empty")


def _frames(path: Path, on_damage: OnDamage) -> Iterator[tuple[float | None, Frame]]:
    if path.is_dir():
        return folder_frames(path, on_damage)
    if path.suffix.lower() in (*ANIMATIONS, *PICTURES):
        return animation_frames(path, on_damage)
    return video_frames(path, on_damage)


def _fps(path: Path) -> float:
    if path.is_dir():
        return DEFAULT_FPS
    return animation_fps(path) if path.suffix.lower() in (*ANIMATIONS, *PICTURES) else video_fps(path)


def _hash(path: Path) -> str:
    if not path.is_dir():
        return sha256_of(path, CLIP)
    digest = hashlib.sha256()
    for file in folder_pictures(path):
        size = file.stat().st_size if file.exists() else 0
        digest.update(f"{file.name}\0{size}\0".encode("utf-8", "surrogatepass"))
        with contextlib.suppress(OSError), open_regular(file, PICTURE) as stream:  # else it is left out of the frames
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
