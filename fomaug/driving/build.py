"""From clips to motion tracks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple, cast, get_args

from tqdm import tqdm

from fomaug.animator import Animator
from fomaug.driving.clip_labels import Labels, resolve_labels
from fomaug.driving.crop import FaceCrop, FaceSearch, search_face, spread
from fomaug.driving.detect import read_keypoints
from fomaug.driving.track import MotionTrack
from fomaug.driving.watch import FaceWatch, Look
from fomaug.errors import ArgumentError, MediaError, PoolError, check_choice
from fomaug.faces import Detector, is_steady
from fomaug.media import Clip, MediaInput, find_clips, on_disk, read_clip

Crop = Literal["face", "frame"]
OnError = Literal["skip", "raise"]
_LOOKS: Final = 3  # frames of a clip in which the search found no face


@dataclass(frozen=True)
class BuildOptions:
    """See `DrivingPool.from_clips`."""

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
    """The motion of a clip, and the frames in which a face drives.

    Attributes:
        track: of all frames.
        notes: sentences about what was not as it should be: damage, a face that was not found.
        faces: numbers of the frames that show a face; of all, if no face was looked for or found.
    """

    track: MotionTrack
    notes: tuple[str, ...]
    faces: tuple[int, ...]


def tracks_from_clips(
    clips: MediaInput | Iterable[MediaInput], model: Animator, labels: Labels, options: BuildOptions
) -> tuple[list[MotionTrack], list[tuple[str, str]]]:
    """Make a track of every clip that can be used; see `DrivingPool.from_clips`.

    Returns:
        The tracks, and (clip, reason) for the clips that were left out.
    """
    is_one = isinstance(clips, str | Path | bytes) or hasattr(clips, "read")
    given = [cast(MediaInput, clips)] if is_one else list(cast(Iterable[MediaInput], clips))
    with ExitStack() as stack:
        roots = [stack.enter_context(on_disk(clip, f"clip-{number}")) for number, clip in enumerate(given, 1)]
        return _tracks(_named_clips(roots), model, labels, options)


def _tracks(
    found: dict[str, Path], model: Animator, labels: Labels, options: BuildOptions
) -> tuple[list[MotionTrack], list[tuple[str, str]]]:
    label_of = resolve_labels(labels, found)
    tracks: list[MotionTrack] = []
    skipped: list[tuple[str, str]] = []
    for name, path in tqdm(found.items(), desc="clips", unit="clip", disable=not options.progress):
        try:
            tracks.append(_track(read_clip(path, max_frames=options.max_frames), name, label_of[name], model, options))
        except (MediaError, PoolError) as error:
            if options.on_error == "raise":
                raise
            skipped.append((name, str(error)))
    if not tracks:
        raise PoolError(f"none of {len(skipped)} clips can be used; the first: {skipped[0][1]}")
    return tracks, skipped


def _named_clips(roots: Sequence[str | Path]) -> dict[str, Path]:
    """Give every clip the shortest name that tells it apart: its stem, its file name, its path."""
    found = [(clip, Path(root)) for root in roots for clip in find_clips(root)]
    if not found:
        raise PoolError(f"there is no clip in {', '.join(map(str, roots)) or 'an empty list'}")
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
    """Read the motion of one clip; memory is that of one batch of frames, and of the keypoints.

    Args:
        path: a clip, or a picture, which is a clip of one frame; its bytes or an open file will do.
        model: that finds the keypoints.
        crop: a fixed square around the face, see `face_crop`, or the whole frame.
        detector: finds faces for `crop="face"`, see `face_crop`.
        max_frames: read no more than these.
        progress: show a bar.
        batch_size: frames that the model looks at together.

    Returns:
        The track, and sentences about what was not as it should be: damage, a face that was not found.

    Raises:
        MediaError: there is no such clip, or it cannot be read.
        PoolError: its keypoints are none that could move a face, see `MotionTrack`.
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
    """Read the motion of one clip as `read_track` does, and watch in which frames a face drives."""
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
    """Make the track of a clip for a pool: of the frames that show a face, where a face was looked for."""
    search = _search(clip, model, options)
    look, found = _face_test(model, options.detector), search.crop.found > 0
    # A face whose place the search could not tell may still be one that the model follows in the whole frame.
    if search.seen and not found and not any(spread(clip.frames(on_damage=lambda _: None), _LOOKS, look)):
        raise MediaError(
            f"{clip.path}: no face was found in the {search.crop.looked} frames looked at; leave the clip out, or cut "
            'it to the face yourself and use crop="frame"'
        )
    watch = FaceWatch(search.seen if found else {}, look) if search.seen else None
    keypoints, damage = read_keypoints(clip, search.crop.box, model, batch_size=options.batch_size, watch=watch)
    notes = _notes(search.crop) + damage
    if len(keypoints) == clip.max_frames:
        notes.append(f"only the first {clip.max_frames} frames were asked for")
    if watch and len(rows := watch.rows()) < len(keypoints):
        notes.append(f"{len(keypoints) - len(rows)} of {len(keypoints)} frames show no face and were left out")
        keypoints = keypoints[rows]
    facts = _facts(clip, notes)
    return MotionTrack(name, keypoints, clip.fps, label, clip.hash, crop=search.crop.box, facts=facts)


def _face_test(model: Animator, detector: Detector | None) -> Look:
    """Make what tells whether a picture in which the model found keypoints shows a face."""
    if detector is not None:
        return lambda picture: len(detector(picture)) > 0
    return lambda picture: is_steady(model, picture)


def _search(clip: Clip, model: Animator, options: BuildOptions) -> FaceSearch:
    """Look through the clip once for its face."""
    if options.crop == "frame":
        return FaceSearch(FaceCrop(None, 0, 0), {})
    # What is wrong with the frames is said in the pass that reads the keypoints.
    return search_face(clip.frames(on_damage=lambda _: None), model, options.detector)


def _notes(crop: FaceCrop) -> list[str]:
    note = f"a face was found in {crop.found} of {crop.looked} frames looked at"
    return [note + ("" if crop.found else ": the whole frame was taken")] if crop.found < crop.looked else []


def _facts(clip: Clip, notes: list[str]) -> dict[str, str]:
    facts = {"clip": clip.path.name, "size": f"{clip.size[1]} x {clip.size[0]}"}
    return {**facts, "note": "; ".join(notes)} if notes else facts
