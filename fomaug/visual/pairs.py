"""Animate many pairs in one run: encode each source once, read each clip once, and skip bad pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from tqdm import tqdm
from typing_extensions import Unpack

from fomaug.animator import Animator
from fomaug.driving import MotionTrack, read_track
from fomaug.errors import ArgumentError, FomaugError, MediaError, check_choice
from fomaug.media import is_clip, read_mark
from fomaug.visual.animate import SUFFIXES, VIDEO_FORMATS, enough_memory, warn, write
from fomaug.visual.inputs import Motion, OnNote, Portrait, choose_frame, read_motion, read_portrait
from fomaug.visual.options import AnimateKeywords, AnimateOptions, Pair, make_options, read_pairs
from fomaug.weights import load_model

Made = TypeVar("Made")


@dataclass(frozen=True)
class FailedPair:
    """A pair without a result, and the reason."""

    source: Path
    driving: Path
    reason: str


@dataclass(frozen=True)
class AnimateReport:
    """The results of a list of pairs.

    Attributes:
        made: results that were written.
        kept: results that existed already.
        failed: pairs without a result.
    """

    made: tuple[Path, ...]
    kept: tuple[Path, ...]
    failed: tuple[FailedPair, ...]

    @property
    def complete(self) -> bool:
        """Whether every pair has a result."""
        return not self.failed


@dataclass(frozen=True)
class _Job:
    pair: Pair
    out: Path
    settings: AnimateOptions


def animate_pairs(
    pairs: str | Path | Iterable[Pair | tuple[str | Path, str | Path]],
    out: str | Path,
    *,
    model: str | Path | Animator = "lite-256",
    config: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    root: str | Path | None = None,
    video_format: Literal["mp4", "gif", "webp"] = "mp4",
    overwrite: bool = False,
    progress: bool = False,
    on_note: OnNote | None = None,
    **options: Unpack[AnimateKeywords],
) -> AnimateReport:
    """Animate many pictures by many clips.

    Results are complete or absent, and existing results are kept, so the same call resumes a run that was stopped.
    Memory holds one pair, and the keypoints of all clips, which take a few hundred bytes per frame.

    Args:
        pairs: CSV file, see `read_pairs`; or pairs of source and driving.
        out: folder of the results; the default name of a result is `SOURCE--DRIVING.mp4`, or `.png` for a driving
            picture.
        model: animator, name of an installed model, or path of a model file.
        config: YAML file or name of the configuration of an official checkpoint.
        device: device that the model is loaded on.
        dtype: dtype that the model is loaded in.
        root: folder that the list's paths are relative to; None for the folder of the list.
        video_format: format of results with a default name.
        overwrite: whether existing results are made again.
        progress: whether progress bars are shown.
        on_note: see `animate_clip`.
        **options: fields of `AnimateOptions`, for pairs without values of their own.

    Returns:
        The results that were made and kept, and the pairs that failed.

    Raises:
        ArgumentError: the list or an option is wrong; nothing was written.
        MediaError: the list cannot be read.
    """
    check_choice("video_format", video_format, VIDEO_FORMATS)
    listed = read_pairs(pairs, root=root) if isinstance(pairs, str | Path) else [_to_pair(pair) for pair in pairs]
    jobs = _plan(listed, Path(out), make_options(options), video_format)
    note = on_note or warn
    kept = [job for job in jobs if job.out.exists() and not overwrite]
    there = {job.out for job in kept}
    animator = model if isinstance(model, Animator) else load_model(model, config=config, device=device, dtype=dtype)
    for job in kept:
        _check_kept(job.out, animator, note)
    run = _Run(animator, note, progress)
    for job in tqdm(
        _by_source(job for job in jobs if job.out not in there), desc="pairs", unit="pair", disable=not progress
    ):
        run.carry_out(job)
    return AnimateReport(tuple(run.made), tuple(job.out for job in kept), tuple(run.failed))


@dataclass
class _Run:
    animator: Animator
    note: OnNote
    progress: bool
    made: list[Path] = field(default_factory=list)
    failed: list[FailedPair] = field(default_factory=list)
    motions: dict[Any, Motion | FomaugError] = field(default_factory=dict)
    # For the current source only:
    portrait: dict[Any, Portrait | FomaugError] = field(default_factory=dict)
    tracks: dict[Any, MotionTrack | FomaugError] = field(default_factory=dict)

    def carry_out(self, job: _Job) -> None:
        """Make one result; an error is recorded and does not stop the run."""
        try:
            with enough_memory(job.pair.source, job.pair.driving):
                self.made.append(self._make(job))
        except FomaugError as error:
            self.failed.append(FailedPair(job.pair.source, job.pair.driving, str(error)))

    def _make(self, job: _Job) -> Path:
        pair, settings = job.pair, job.settings
        model, bars = self.animator, self.progress
        key = (pair.driving, settings.crop, settings.max_frames)
        motion = _once(
            self.motions, key, lambda: read_motion(pair.driving, model, settings, on_note=self.note, progress=bars)
        )
        if pair.source not in self.tracks:
            self.tracks.clear()
        frame = choose_frame(
            pair.source,
            motion,
            settings,
            lambda: _once(self.tracks, pair.source, lambda: read_track(pair.source, model, progress=bars)[0]),
        )
        portrait_key = (pair.source, frame, settings.face, settings.max_pixels)
        if portrait_key not in self.portrait:
            self.portrait.clear()
        portrait = _once(
            self.portrait,
            portrait_key,
            lambda: read_portrait(pair.source, model, settings, frame=frame, on_note=self.note),
        )
        return write(model, portrait, motion, job.out, settings, progress=bars)


def _once(store: dict[Any, Made | FomaugError], key: Any, make: Callable[[], Made]) -> Made:
    """Return a stored value, or make and store it; a failure is stored, too, and raised again."""
    if key not in store:
        try:
            store[key] = make()
        except FomaugError as error:
            store[key] = error
    found = store[key]
    if isinstance(found, FomaugError):
        raise found
    return found


def _to_pair(pair: Pair | tuple[str | Path, str | Path]) -> Pair:
    return pair if isinstance(pair, Pair) else Pair(Path(pair[0]), Path(pair[1]))


def _plan(pairs: Iterable[Pair], out: Path, settings: AnimateOptions, video_format: str) -> list[_Job]:
    """Assign a file and options to every pair."""
    if out.exists() and not out.is_dir():
        raise ArgumentError(f"{out} is a file; the results of many pairs need a folder")
    jobs: dict[Path, _Job] = {}
    for pair in pairs:
        path = _named(pair, out) if pair.out else _unnamed(pair, out, video_format, jobs)
        if path in jobs:
            raise ArgumentError(f"two pairs would be written to {path}; give each pair its own out")
        jobs[path] = _Job(pair, path, make_options({**asdict(settings), **pair.options}))
    return list(jobs.values())


def _named(pair: Pair, out: Path) -> Path:
    path = out / pair.out
    if not path.resolve().is_relative_to(out.resolve()):
        raise ArgumentError(f"out is {pair.out!r}, which is outside of {out}; give a path below it")
    if path.suffix.lower() not in SUFFIXES:
        raise ArgumentError(f"out is {pair.out!r}; its suffix must be one of {', '.join(SUFFIXES)}")
    return path


def _unnamed(pair: Pair, out: Path, video_format: str, taken: Iterable[Path]) -> Path:
    stems = [path.name if path.is_dir() else path.stem for path in (pair.source, pair.driving)]
    suffix = video_format if is_clip(pair.driving) else "png"
    names = [f"{'--'.join(stems)}.{suffix}", *(f"{'--'.join(stems)}-{n}.{suffix}" for n in range(2, 10_000))]
    return next(out / name for name in names if out / name not in taken)


def _by_source(jobs: Iterable[_Job]) -> list[_Job]:
    """Group the pairs by source, in the order in which the sources first appear."""
    order: dict[Path, list[_Job]] = {}
    for job in jobs:
        order.setdefault(job.pair.source, []).append(job)
    return [job for group in order.values() for job in group]


def _check_kept(path: Path, animator: Animator, note: OnNote) -> None:
    try:
        made_by = read_mark(path).properties.get("fomaug:ModelHash", "")
    except MediaError:
        made_by = ""
    if made_by != animator.hash:
        note(f"{path} exists, but was not made by this model; it is kept")
