"""Read driving clips as streams: the frames and the sound of videos, animated pictures and folders of pictures."""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

from fomaug.errors import ArgumentError, MediaError
from fomaug.files import CLIP, PICTURE, exists, open_regular
from fomaug.media.formats import PICTURE_FORMATS
from fomaug.media.frames import Frame, letterbox
from fomaug.media.opening import DAMAGE, MediaFile, MediaInput, identify, imopen, media_file
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

if TYPE_CHECKING:
    from fomaug.media.video_plugin import VideoPlugin

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


class Sound(NamedTuple):
    """The first sound track of a clip.

    Attributes:
        stream: PyAV's stream of the open file.
        packets: packets of the stream in the order of the file, up to any damage.
        start: time in seconds of the first picture, on the clock of the packets.
    """

    stream: Any
    packets: Iterator[Any]
    start: float


@contextmanager
def opened_video(file: MediaFile) -> Iterator[VideoPlugin]:
    """Open a video file, but no other file that it refers to."""
    from fomaug.media.video_plugin import VideoPlugin

    with file.open(CLIP) as content, imopen(content, "r", VideoPlugin, name=str(file)) as video:
        yield video


def video_head(file: MediaFile) -> tuple[Frame | None, float, str]:
    """Read the first frame and the frame rate, see `VideoPlugin.probe`."""
    with opened_video(file) as video:
        return video.probe()


def video_frames(file: MediaFile, on_damage: Callable[[str], object]) -> Iterator[tuple[float | None, Frame]]:
    """Decode a video frame by frame, see `VideoPlugin.timed`."""
    with opened_video(file) as video:
        yield from video.timed(on_damage)


@contextmanager
def clip_sound(clip: MediaInput) -> Iterator[Sound | None]:
    """Open the sound of a clip; the value is None for a clip without sound, such as a folder or an animated picture.

    Nothing is decoded, and one packet at a time is in memory.

    Args:
        clip: clip as for `read_clip`.

    Raises:
        MediaError: the file cannot be read.
    """
    file = media_file(clip)
    if file.is_dir or is_picture(file):
        if not file.is_dir:
            file.open(CLIP).close()
        yield None
        return
    with opened_video(file) as video:
        yield video.sound()


class DamagedClipWarning(UserWarning):
    """Some frames of a clip cannot be read; the others are used."""


@dataclass(frozen=True)
class Clip:
    """A video, an animated picture or a folder of pictures, whose frames are not kept in memory.

    Attributes:
        path: path of the file or folder.
        fps: frames per second of `frames`.
        hash: sha256 of the file's bytes, or of the names and bytes of a folder's pictures.
        size: (H, W) of every frame.
        max_frames: largest number of frames that are read, or None for all.
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
        """Name of the file or folder without its suffix."""
        return self.path.name if self.path.is_dir() else self.path.stem

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, *, on_damage: OnDamage | None = None) -> Iterator[Frame]:
        """Decode the clip from its start, with one frame at a time in memory.

        Frames are turned upright, resampled to `fps` and to square pixels, and letterboxed to the size of the first
        frame.

        Args:
            on_damage: function that is called with a message if frames cannot be read; the default issues a
                `DamagedClipWarning`.

        Yields:
            (H, W, 3) uint8 RGB.
        """
        stream = _frames(MediaFile(self.path, self.content), on_damage or self._warn)
        for picture in islice(even_pace(stream, self.fps), self.max_frames):
            yield letterbox(picture, self.size)

    def _warn(self, damage: str) -> None:
        warnings.warn(f"{self.path}: {damage}", DamagedClipWarning, stacklevel=2)


def read_clip(path: MediaInput, *, fps: float | None = None, max_frames: int | None = None) -> Clip:
    """Open a clip and check that its first frame can be read.

    Args:
        path: path of a video (mp4, webm, avi, mov and the like), of an animated gif, webp or png, or of a folder of
            pictures in natural order; or the bytes of a file, or a file that is open for reading bytes.
        fps: frames per second that replace the file's own rate; a folder has none, and its default is 25.
        max_frames: largest number of frames to read, or None for all.

    Raises:
        MediaError: the file is missing, empty, no clip, too large or damaged from its start.
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

    Every video and animated picture is a clip, and so is every folder with pictures and without videos. For a
    file, or a folder that is itself a clip, the list has this one entry.
    """
    root = Path(root)
    if not exists(root, unclear=MediaError):
        raise MediaError(f"there is no file or folder {root}")
    if not root.is_dir():
        return [root]
    children = sorted((child for child in root.iterdir() if not child.name.startswith(".")), key=natural_order)
    clips = [child for child in children if not child.is_dir() and is_clip(child)]
    if not clips and any(child.is_file() and child.suffix.lower() in PICTURES for child in children):
        clips = [root]
    return clips + [clip for child in children if child.is_dir() for clip in find_clips(child)]


def is_clip(path: Path) -> bool:
    """Return whether a path is a folder, a video or an animated picture."""
    if path.is_dir():
        return True
    suffix = path.suffix.lower()
    if suffix not in _PERHAPS_ANIMATED:
        return suffix in VIDEOS or suffix in ANIMATIONS
    try:
        with MediaFile(path).open(PICTURE) as file, identify(file, PICTURE_FORMATS) as picture:
            return picture.num_frames > 1
    except DAMAGE:
        return False


def _check_exists(file: MediaFile) -> None:
    if file.content is None and not exists(file.path, unclear=MediaError):
        raise MediaError(f"there is no clip {file}")
    if file.is_dir:
        if not folder_pictures(file.path):
            raise MediaError(_describe_folder(file.path))
        return
    with file.open(CLIP) as content:
        if not content.read(1):
            raise MediaError(f"{file} is empty")


def _describe_folder(path: Path) -> str:
    """Describe a folder without pictures, which would be the frames of a clip."""
    clips = find_clips(path)
    if not clips:
        return f"folder {path} has neither pictures nor clips; supported pictures are {', '.join(PICTURES)}"
    few = ", ".join(clip.relative_to(path).as_posix() for clip in clips[:5])
    return f"folder {path} has no pictures, but {len(clips)} clip{'s' * (len(clips) > 1)}; give one of them: {few}"


def _head(file: MediaFile, max_frames: int | None) -> tuple[Frame | None, float, str]:
    """Read the first frame and the frame rate; without a frame, add the reason."""
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
        with contextlib.suppress(OSError), open_regular(file, PICTURE) as stream:  # an unreadable file is not a frame
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
