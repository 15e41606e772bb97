"""Driving pools: the motion tracks that one model can draw from, and the labels of their clips."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch

from fomaug.animator import Animator
from fomaug.driving import build as _build
from fomaug.driving import pool_file as _pool_file
from fomaug.driving.mean_face import MeanFacePools
from fomaug.driving.track import MotionTrack, check_together, contents_hash, first_names
from fomaug.errors import LabelError, PoolError, did_you_mean, reason_of
from fomaug.faces import Detector
from fomaug.files import TABLE, open_text
from fomaug.media import MediaInput
from fomaug.options import Crop, OnError

Labels = Mapping[str, str] | str | Path | None


def resolve_labels(labels: Labels, clips: Mapping[str, Path]) -> dict[str, str | None]:
    """Find the label of every clip.

    Args:
        labels: labels by clip name, file name or the end of the path; a CSV file with columns `clip,label`; "folders"
            for the name of each clip's folder; or None.
        clips: path of every clip by its name.

    Returns:
        The label of every clip by its name; None for clips without one.

    Raises:
        LabelError: a label is for an unknown clip, or the file cannot be read.

    >>> resolve_labels({"a.mp4": "nod"}, {"a": Path("clips/a.mp4"), "b": Path("clips/b.mp4")})
    {'a': 'nod', 'b': None}
    """
    if labels is None:
        return dict.fromkeys(clips)
    if labels == "folders":
        return {name: path.absolute().parent.name for name, path in clips.items()}
    given = labels if isinstance(labels, Mapping) else read_labels(Path(labels))
    found: dict[str, str | None] = dict.fromkeys(clips)
    for key, label in given.items():
        names = [name for name, path in clips.items() if _matches(key, name, path)]
        if not names:
            known = [word for name, path in clips.items() for word in (name, path.name)]
            raise LabelError(f"the label {label!r} is for {key!r}, but there is no such clip{did_you_mean(key, known)}")
        found.update(dict.fromkeys(names, label))
    return found


def read_labels(path: Path) -> dict[str, str]:
    """Read a CSV file with columns `clip,label`."""
    try:
        with open_text(path, TABLE, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"cannot read the labels in {path} ({reason_of(error)})") from error
    if not rows or not {"clip", "label"} <= set(rows[0]):
        raise LabelError(f"{path} must have the header line `clip,label` and at least one row")
    if bad := next((number for number, row in enumerate(rows, 2) if not row["clip"] or row["label"] is None), None):
        raise LabelError(f"{path}, line {bad}: expected a clip and its label")
    return {row["clip"].strip(): row["label"].strip() for row in rows}


def _matches(key: str, name: str, path: Path) -> bool:
    return key in (name, path.name) or path.as_posix().endswith(f"/{key}")


class DrivingPool(MeanFacePools):
    """An immutable set of motion tracks of one model.

    Methods such as `select`, `to` and `rounded` return new pools.

    Args:
        tracks: motion tracks, at least one, with unique names.
        model_name: name of the model that made the keypoints.
        model_hash: hash of that model.
        skipped: (clip, reason) of unusable clips.
    """

    def __init__(
        self,
        tracks: Iterable[MotionTrack],
        model_name: str,
        model_hash: str,
        *,
        skipped: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.tracks = tuple(tracks)
        self.model_name = model_name
        self.model_hash = model_hash
        self.skipped = tuple(skipped)
        self._rows = {track.name: row for row, track in enumerate(self.tracks)}
        check_together(self.tracks)

    def __len__(self) -> int:
        return len(self.tracks)

    def __iter__(self) -> Iterator[MotionTrack]:
        return iter(self.tracks)

    def __getitem__(self, key: int | str) -> MotionTrack:
        return self.tracks[key if isinstance(key, int) else self._row(key)]

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __eq__(self, other: object) -> bool:
        """Compare the contents, so that equal pools share one cache entry."""
        return isinstance(other, DrivingPool) and other.hash == self.hash

    def __hash__(self) -> int:
        return hash(self.hash)

    def __repr__(self) -> str:
        size = f"{len(self)} tracks, {self.num_frames} frames"
        return f"DrivingPool({size}, model={self.model_name!r}, hash={self.hash[:12]!r})"

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each track."""
        return tuple(self._rows)

    @property
    def labels(self) -> tuple[str | None, ...]:
        """The label of each track."""
        return tuple(track.label for track in self.tracks)

    @property
    def num_frames(self) -> int:
        """The number of frames of all tracks together."""
        return sum(len(track) for track in self.tracks)

    @property
    def has_views(self) -> bool:
        """Whether some tracks are views, see `views`."""
        return any(track.angles is not None for track in self.tracks)

    @cached_property
    def hash(self) -> str:
        """The sha256 of the inputs of a draw: the model, and every track without its crop and facts.

        It is the same after saving and loading, and on every machine and device.
        """
        return contents_hash(self.tracks, self.model_hash)

    def select(self, *names: str) -> DrivingPool:
        """Make a pool of some of the tracks, by name or by label, in the pool's order."""
        wanted = {name for name in names if name in self._rows or name in self.labels}
        for name in names:
            if name not in wanted:
                self._row(name, self.labels)
        return self._with(track for track in self.tracks if track.name in wanted or track.label in wanted)

    def labelled(self, labels: str | Path | Mapping[str, str]) -> DrivingPool:
        """Make a pool of the same tracks with other labels.

        Args:
            labels: label of each track by name, or a CSV file with columns `clip,label`. Other tracks keep their label.

        Raises:
            LabelError: no track has a name in `labels`, or the file cannot be read.
        """
        found = resolve_labels(labels, {name: Path(name) for name in self.names})
        return self._with(replace(track, label=found[track.name] or track.label) for track in self.tracks)

    def weighted(self, weights: Mapping[str, float]) -> DrivingPool:
        """Make a pool of the same tracks with other weights; a track is drawn in proportion to its weight.

        Args:
            weights: weight of each track by name or by label; a name takes precedence over a label. Other tracks keep
                their weight, which is 1 by default.
        """
        for name in weights:
            if name not in self.labels:
                self._row(name, self.labels)
        return self._with(
            replace(track, weight=float(weights.get(track.name, weights.get(track.label or "", track.weight))))
            for track in self.tracks
        )

    def __add__(self, other: DrivingPool) -> DrivingPool:
        """Join two pools of one model; all names must differ."""
        if not isinstance(other, DrivingPool):
            return NotImplemented
        if self.model_hash != other.model_hash:
            raise PoolError(
                f"pools of models {self.model_name!r} ({self.model_hash[:12]}) and {other.model_name!r} "
                f"({other.model_hash[:12]}) cannot be joined: each model has its own keypoints"
            )
        return self._with((*self.tracks, *other.tracks))

    def to(self, device: torch.device | str) -> DrivingPool:
        """Move all keypoints to a device; the hash stays the same."""
        return self._with(track.to(device) for track in self.tracks)

    def rounded(self) -> DrivingPool:
        """Round keypoints to half precision, by at most 0.03 of 256 pixels; the file becomes half as large."""
        return self._with(_pool_file.rounded(track) for track in self.tracks)

    def check_model(self, model: Animator) -> None:
        """Raise `PoolError` unless the pool was made by this model."""
        if self.model_hash != model.hash:
            raise PoolError(
                f"this pool was made by model {self.model_name!r} ({self.model_hash[:12]}) and cannot drive model "
                f"{model.name!r} ({model.hash[:12]}): each model has its own keypoints; build one from the clips with "
                f"DrivingPool.from_clips(clips, model) or {_pool_file.build_command(model)}"
            )

    def save(self, path: str | Path) -> None:
        """Write one safetensors file atomically.

        Keypoints that half precision represents exactly, such as those of `rounded`, are stored in half precision.
        """
        _pool_file.write(Path(path), self.tracks, self.model_name, self.model_hash)

    @classmethod
    def load(cls, path: str | Path, model: Animator | None = None) -> DrivingPool:
        """Read and check a pool file; code in it is never run.

        Args:
            path: path of a file that `save` wrote.
            model: model that must have made the pool; None to skip this check.

        Raises:
            PoolError: the file is missing, damaged, of a later version, or from another model.
        """
        with _pool_file.named(Path(path)):
            pool = cls(*_pool_file.read(Path(path)))
        if model is not None:
            pool.check_model(model)
        return pool

    @classmethod
    def from_clips(
        cls,
        clips: MediaInput | Iterable[MediaInput],
        model: Animator,
        *,
        labels: Mapping[str, str] | str | Path | None = None,
        crop: Crop = "face",
        detector: Detector | None = None,
        max_frames: int | None = 2000,
        on_error: OnError = "skip",
        progress: bool = False,
        batch_size: int = 16,
    ) -> DrivingPool:
        """Read the keypoints of every frame of every clip; only one batch of frames is in memory at a time.

        With `crop="face"`, a clip without a face cannot be used, and frames without a face are left out; the track's
        facts count them. Models that find faces only with a detector keep all frames if there is no detector.

        Args:
            clips: folder with clips below it, clip (path, bytes or open file), or several of these.
            model: model that finds the keypoints.
            labels: label of each clip by its name, file name or path below the folder, as a mapping or a CSV file with
                columns `clip,label`; or "folders" for the name of each clip's folder.
            crop: "face" for a fixed square around the face, see `face_crop`; or "frame" for the whole frame.
            detector: detector of faces for `crop="face"`, see `face_crop`.
            max_frames: largest number of frames of each clip, None for all; the track's facts mention a limit.
            on_error: policy for unusable clips: "skip" lists them in `skipped`, "raise" raises the error.
            progress: whether to show a progress bar.
            batch_size: number of frames in a batch of the model.
        """
        options = _build.BuildOptions(crop, detector, max_frames, on_error, progress, batch_size)
        tracks, skipped = _build.tracks_from_clips(clips, model, labels, options)
        return cls(tracks, model.name, model.hash, skipped=skipped)

    @classmethod
    def builtin(cls, model: Animator) -> DrivingPool:
        """Load the pool of the embedded model.

        Raises:
            PoolError: the model is another one, which has other keypoints.
        """
        path = _pool_file.shipped_pool(model)
        return cls.load(path, model) if path else cls.gestures(model)

    def _with(self, tracks: Iterable[MotionTrack]) -> DrivingPool:
        return DrivingPool(tracks, self.model_name, self.model_hash, skipped=self.skipped)

    def _row(self, name: str, labels: Iterable[str | None] = ()) -> int:
        if name not in self._rows:
            near = did_you_mean(name, [*self._rows, *filter(None, labels)])
            raise PoolError(f"the pool has no track {name!r}{near}; it has {first_names(self.names)}")
        return self._rows[name]
