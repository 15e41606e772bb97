"""Driving pools: the motion tracks one model can draw from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch

from fomaug.animator import Animator
from fomaug.driving import build as _build
from fomaug.driving import pool_file as _pool_file
from fomaug.driving.clip_labels import resolve_labels
from fomaug.driving.mean_face import MeanFacePools
from fomaug.driving.track import MotionTrack, check_together, contents_hash, first_names
from fomaug.errors import PoolError, did_you_mean
from fomaug.faces import Detector
from fomaug.media import MediaInput
from fomaug.options import Crop, OnError


class DrivingPool(MeanFacePools):
    """Motion tracks made by one model.

    A pool is immutable; `select`, `to` and `rounded` return new pools.

    Args:
        tracks: motion tracks, at least one, with unique names.
        model_name: name of the model whose keypoints these are.
        model_hash: hash of that model.
        skipped: (clip, reason) of clips that could not be used.
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
        """Compare contents: equal pools share an entry of a cache."""
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
        """The sha256 of everything that a draw depends on: the model, and every track without its crop and facts.

        It is the same after saving and loading, and on every machine and device.
        """
        return contents_hash(self.tracks, self.model_hash)

    def select(self, *names: str) -> DrivingPool:
        """Make a pool of some of the tracks, by name or by label, in the pool's order."""
        wanted = {name for name in names if name in self._rows or name in self.labels}
        for name in names:
            if name not in wanted:
                self._row(name)
        return self._with(track for track in self.tracks if track.name in wanted or track.label in wanted)

    def labelled(self, labels: str | Path | Mapping[str, str]) -> DrivingPool:
        """Make a pool of the same tracks with other labels.

        Args:
            labels: label of each track by name, or a CSV file with columns `clip,label`. Other tracks keep their label.

        Raises:
            LabelError: if no track has a name in `labels`, or the file cannot be read.
        """
        found = resolve_labels(labels, {name: Path(name) for name in self.names})
        return self._with(replace(track, label=found[track.name] or track.label) for track in self.tracks)

    def weighted(self, weights: Mapping[str, float]) -> DrivingPool:
        """Make a pool of the same tracks with other weights: a larger one for more draws, 0 for none.

        Args:
            weights: weight of each track by name or by label; a name takes precedence over a label. Other tracks keep
                their weight, which is 1 by default.
        """
        for name in weights:
            if name not in self.labels:
                self._row(name)
        return self._with(
            replace(track, weight=float(weights.get(track.name, weights.get(track.label or "", track.weight))))
            for track in self.tracks
        )

    def __add__(self, other: DrivingPool) -> DrivingPool:
        """Join two pools of one model; all names must differ."""
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
        """Round keypoints to half precision, by 0.03 pixel of 256 at most; the file gets half as large."""
        return self._with(_pool_file.rounded(track) for track in self.tracks)

    def check_model(self, model: Animator) -> None:
        """Raise `PoolError` unless the pool was made by this model."""
        if self.model_hash != model.hash:
            raise PoolError(
                f"this pool was made by model {self.model_name!r} ({self.model_hash[:12]}) and cannot drive model "
                f"{model.name!r} ({model.hash[:12]}): each model has its own keypoints; build one from the clips with "
                f"DrivingPool.from_clips(clips, model) or `fomaug pool build CLIPS -o POOL --model {model.name}`"
            )

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, whole or not at all.

        Keypoints that half precision holds exactly, such as those of `rounded`, are stored in it.
        """
        _pool_file.write(Path(path), self.tracks, self.model_name, self.model_hash)

    @classmethod
    def load(cls, path: str | Path, model: Animator | None = None) -> DrivingPool:
        """Read a pool file; no code in it is run, and everything in it is checked.

        Args:
            path: path of a file that `save` wrote.
            model: model that the pool must fit; None to check this later.

        Raises:
            PoolError: if the file is missing, damaged, of a later version, or made by another model.
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
            clips: a folder with clips below it, a clip (path, bytes or open file), or several of these.
            model: model that finds the keypoints.
            labels: label of each clip by its name, file name or path below the folder, as a mapping or a CSV file with
                columns `clip,label`; or "folders" for the name of each clip's folder.
            crop: a fixed square around the face, see `face_crop`, or the whole frame.
            detector: detector of faces for `crop="face"`, see `face_crop`.
            max_frames: number of frames of each clip that are read; the track's facts mention a cut. None for all.
            on_error: policy for a clip that cannot be used: "skip" names it in `skipped`, "raise" raises its error.
            progress: whether to show a progress bar.
            batch_size: number of frames in a batch of the model.
        """
        options = _build.BuildOptions(crop, detector, max_frames, on_error, progress, batch_size)
        tracks, skipped = _build.tracks_from_clips(clips, model, labels, options)
        return cls(tracks, model.name, model.hash, skipped=skipped)

    @classmethod
    def builtin(cls, model: Animator) -> DrivingPool:
        """Load the pool that is shipped with the embedded model.

        Raises:
            PoolError: for other models, which have other keypoints.
        """
        path = _pool_file.shipped_pool(model)
        return cls.load(path, model) if path else cls.gestures(model)

    def _with(self, tracks: Iterable[MotionTrack]) -> DrivingPool:
        return DrivingPool(tracks, self.model_name, self.model_hash, skipped=self.skipped)

    def _row(self, name: str) -> int:
        if name not in self._rows:
            raise PoolError(
                f"the pool has no track {name!r}{did_you_mean(name, self._rows)}; it has {first_names(self.names)}"
            )
        return self._rows[name]
