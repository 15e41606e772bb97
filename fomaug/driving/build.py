"""Build motion tracks: find the keypoints of the frames of clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TypeVar, cast, get_args

import numpy as np
from PIL import Image
from tqdm import tqdm

from fomaug.animator import Animator
from fomaug.driving.crop import FaceCrop, FaceSearch, FaceTest, FaceWatch, search_face, spread
from fomaug.driving.pool import Labels, resolve_labels
from fomaug.driving.track import MotionTrack, first_names
from fomaug.errors import ArgumentError, MediaError, PoolError, check_choice, shortened
from fomaug.faces import Detector, Square, face_boxes, is_steady
from fomaug.media import Clip, Frame, MediaInput, find_clips, on_disk, read_clip, to_unit
from fomaug.options import Crop, OnError
from fomaug.types import Keypoints

Item = TypeVar("Item")
_TESTS: Final = 3  # frames that are tested for a face if the search found none


@dataclass(frozen=True)
class BuildOptions:
    """Options of `DrivingPool.from_clips`; see there."""

    crop: Crop = "face"
    detector: Detector | None = None
    max_frames: int | None = 2000
    on_error: OnError = "skip"
    progress: bool = False
    batch_size: int = 16

    def __post_init__(self) -> None:
        check_choice("crop", self.crop, get_args(Crop))
        check_choice("on_error", self.on_error, get_args(OnError))
        if self.batch_size < 1:
            raise ArgumentError(f"batch_size must be 1 or more, got {self.batch_size}")


class WatchedTrack(NamedTuple):
    """The motion of a clip, and the frames that show a face.

    Attributes:
        track: motion track of all frames.
        notes: sentences about damage, or about a face that was not found.
        faces: indices of the frames that show a face; all frames if no face was searched for or found.
    """

    track: MotionTrack
    notes: tuple[str, ...]
    faces: tuple[int, ...]


def tracks_from_clips(
    clips: MediaInput | Iterable[MediaInput], model: Animator, labels: Labels, options: BuildOptions
) -> tuple[list[MotionTrack], list[tuple[str, str]]]:
    """Return the tracks of usable clips, and (clip, reason) for all others; see `DrivingPool.from_clips`."""
    is_one = isinstance(clips, str | Path | bytes) or hasattr(clips, "read")
    if not (is_one or isinstance(clips, Iterable)):
        raise ArgumentError(f"clips must be a clip, a folder of clips or a list of them, got {shortened(clips)}")
    given = [cast(MediaInput, clips)] if is_one else list(cast(Iterable[MediaInput], clips))
    with ExitStack() as stack:
        roots = [stack.enter_context(on_disk(clip, f"clip-{number}")) for number, clip in enumerate(given, 1)]
        return _tracks(name_clips(roots), model, labels, options)


def _tracks(
    found: dict[str, Path], model: Animator, labels: Labels, options: BuildOptions
) -> tuple[list[MotionTrack], list[tuple[str, str]]]:
    label_of = resolve_labels(labels, found)
    tracks, skipped = list[MotionTrack](), list[tuple[str, str]]()
    for name, path in tqdm(found.items(), desc="clips", unit="clip", disable=not options.progress):
        try:
            tracks.append(_track(read_clip(path, max_frames=options.max_frames), name, label_of[name], model, options))
        except (MediaError, PoolError) as error:
            if options.on_error == "raise":
                raise
            skipped.append((name, str(error)))
    if not tracks:
        raise PoolError(f"none of {len(skipped)} clips can be used; the reason of the first: {skipped[0][1]}")
    return tracks, skipped


def name_clips(roots: Sequence[str | Path]) -> dict[str, Path]:
    """Name every clip by the shortest unique one of its stem, its path below its root, and its path."""
    found = [(clip, Path(root)) for root in roots for clip in find_clips(root)]
    if not found:
        raise PoolError(f"there is no clip in {', '.join(map(str, roots)) or 'an empty list'}; give videos or folders")
    if twice := [str(clip) for clip, count in Counter(clip.absolute() for clip, _ in found).items() if count > 1]:
        raise ArgumentError(f"clips must be given once each, got {first_names(twice)} more than once")
    stems = [clip.name if clip.is_dir() else clip.stem for clip, _ in found]
    named: dict[str, Path] = {}
    for (clip, root), stem in zip(found, stems, strict=True):
        within = clip.relative_to(root).as_posix() if clip != root else clip.name
        name = next((name for name in (stem, within) if name not in named and stems.count(name) < 2), clip.as_posix())
        named[name] = clip
    return named


def read_track(
    path: MediaInput,
    model: Animator,
    *,
    crop: Crop = "face",
    detector: Detector | None = None,
    max_frames: int | None = None,
    progress: bool = False,
    batch_size: int = 16,
) -> tuple[MotionTrack, tuple[str, ...]]:
    """Read the motion of one clip; only one batch of frames is in memory at a time.

    Args:
        path: clip, or picture as a clip of one frame: path, bytes or open file.
        model: model that finds the keypoints.
        crop: "face" for a fixed square around the face, see `face_crop`; or "frame" for the whole frame.
        detector: detector of faces for `crop="face"`, see `face_crop`.
        max_frames: largest number of frames that are read; None for all.
        progress: whether to show a progress bar.
        batch_size: number of frames in a batch of the model.

    Returns:
        The track, and notes about damaged frames and frames without a face.

    Raises:
        MediaError: the clip is missing or cannot be read.
        PoolError: the keypoints make no valid track, see `MotionTrack`.
    """
    options = BuildOptions(crop, detector, max_frames, "raise", progress, batch_size)
    track, notes, _ = _read_track(path, model, options, watched=False)
    return track, notes


def watch_track(
    path: MediaInput,
    model: Animator,
    *,
    crop: Crop = "face",
    max_frames: int | None = None,
    progress: bool = False,
    batch_size: int = 16,
) -> WatchedTrack:
    """Read the motion of one clip as `read_track` does, and record which frames show a face."""
    return _read_track(path, model, BuildOptions(crop, None, max_frames, "raise", progress, batch_size), watched=True)


def _read_track(path: MediaInput, model: Animator, options: BuildOptions, *, watched: bool) -> WatchedTrack:
    clip = read_clip(path, max_frames=options.max_frames)
    search = _search(clip, model, options)
    watched = watched and bool(search.seen) and search.crop.found > 0
    watch = FaceWatch(search.seen, _face_test(model, options.detector)) if watched else None
    keypoints, damage = read_keypoints(
        clip, search.crop.box, model, batch_size=options.batch_size, progress=options.progress, watch=watch
    )
    notes = _notes(search.crop) + damage
    track = MotionTrack(
        clip.name, keypoints, clip.fps, None, clip.hash, crop=search.crop.box, facts=_facts(clip, notes)
    )
    faces = watch.rows() if watch else []
    return WatchedTrack(track, tuple(notes), tuple(faces or range(len(keypoints))))


def _track(clip: Clip, name: str, label: str | None, model: Animator, options: BuildOptions) -> MotionTrack:
    """Make the track of a clip for a pool; after a search for a face, only frames that show one are kept."""
    search = _search(clip, model, options)
    test, found = _face_test(model, options.detector), search.crop.found > 0
    # The model may detect a face in the whole frame even if the search found no square.
    if search.seen and not found and not any(spread(clip.frames(on_damage=lambda _: None), _TESTS, test)):
        raise MediaError(
            f"{clip.path}: no face was found in {search.crop.looked} examined frames; leave the clip out, or crop "
            'it to the face and use crop="frame"'
        )
    watch = FaceWatch(search.seen if found else {}, test) if search.seen else None
    keypoints, damage = read_keypoints(clip, search.crop.box, model, batch_size=options.batch_size, watch=watch)
    notes = _notes(search.crop) + damage
    if len(keypoints) == clip.max_frames:
        notes.append(f"only the first {clip.max_frames} frames were read")
    if watch and len(rows := watch.rows()) < len(keypoints):
        notes.append(f"{len(keypoints) - len(rows)} of {len(keypoints)} frames show no face and were left out")
        keypoints = keypoints[rows]
    if len(keypoints) == 1:
        notes.append("the track has one frame and therefore no relative motion")
    facts = _facts(clip, notes)
    return MotionTrack(name, keypoints, clip.fps, label, clip.hash, crop=search.crop.box, facts=facts)


def _face_test(model: Animator, detector: Detector | None) -> FaceTest:
    """Make the test whether a picture shows a face."""
    if detector is not None:
        return lambda picture: len(face_boxes(picture, model, detector=detector)) > 0
    return lambda picture: is_steady(model, picture)


def _search(clip: Clip, model: Animator, options: BuildOptions) -> FaceSearch:
    """Search the clip for its face in one pass."""
    if options.crop == "frame":
        return FaceSearch(FaceCrop(None, 0, 0), {})
    # Damaged frames are reported later, by the pass that reads the keypoints.
    return search_face(clip.frames(on_damage=lambda _: None), model, options.detector)


def _notes(crop: FaceCrop) -> list[str]:
    note = f"a face was found in {crop.found} of {crop.looked} examined frames"
    return [note + ("" if crop.found else ": the whole frame is used")] if crop.found < crop.looked else []


def _facts(clip: Clip, notes: list[str]) -> dict[str, str]:
    facts = {"clip": clip.path.name, "size": f"{clip.size[1]} x {clip.size[0]}"}
    return {**facts, "note": "; ".join(notes)} if notes else facts


def read_keypoints(
    clip: Clip,
    box: Square | None,
    model: Animator,
    *,
    batch_size: int,
    progress: bool = False,
    watch: FaceWatch | None = None,
) -> tuple[Keypoints, list[str]]:
    """Find the keypoints of all frames of a clip; only one batch of frames is in memory at a time.

    Args:
        clip: clip to read.
        box: part of the frames that is the model's input; None for the whole frame.
        model: model that finds the keypoints.
        batch_size: number of frames in a batch of the model.
        progress: whether to show a progress bar.
        watch: recorder that is called with every batch.

    Returns:
        The keypoints, and notes about frames that cannot be read.

    Raises:
        MediaError: no frame can be read.
    """
    damage: list[str] = []
    frames = clip.frames(on_damage=damage.append)
    shown = tqdm(frames, desc=f"motion of {clip.name}", unit="frame", disable=not progress, leave=False)
    small = (_shrunk(frame if box is None else box.cut_pixels(frame), model.size) for frame in shown)
    keypoints = _joined(_detect(batch, model, watch) for batch in batches(small, batch_size))
    if keypoints is None:
        raise MediaError(f"{clip.path} has no frame that can be read")
    return keypoints, damage


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Split a stream into lists of at most `size` items.

    >>> list(batches("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _detect(batch: Sequence[Frame], model: Animator, watch: FaceWatch | None) -> Keypoints:
    keypoints = model.detect(to_unit(np.stack(batch))).to("cpu")
    if watch is not None:
        watch(batch, keypoints)
    return keypoints


def _joined(parts: Iterable[Keypoints]) -> Keypoints | None:
    """Join keypoints into few large blocks while they are computed; None if there are none.

    Thousands of small blocks, allocated between the large buffers of a network, would prevent the C library from
    releasing the buffers: memory would grow by more than a picture for each frame of the clip.
    """
    held: list[Keypoints] = []
    for part in parts:
        held.append(part)
        while len(held) > 1 and len(held[-2]) <= len(held[-1]):
            last = held.pop()
            held[-1] = Keypoints.cat([held[-1], last])
    return Keypoints.cat(held) if held else None


def _shrunk(picture: Frame, side: int) -> Frame:
    """Reduce a large frame before it is batched: a batch of film frames does not fit in memory as floats."""
    height, width = picture.shape[:2]
    if max(height, width) <= side:
        return np.ascontiguousarray(picture)
    scale = side / max(height, width)
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    resampling = Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BILINEAR
    return np.array(Image.fromarray(picture).resize(small, resampling))
