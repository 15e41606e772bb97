"""Rebuild clips from their first frame, and measure how well that went."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fomaug._errors import FomaugError, MediaError
from fomaug.animator import Animator
from fomaug.driving import find_clips, read_clip
from fomaug.evaluation._frechet import Spread
from fomaug.evaluation._similarity import confidence, l1, ms_ssim, psnr, ssim

Frame = NDArray[np.uint8]
Extract = Callable[[Frame], Any]  # a frame (H, W, 3) to a vector or (M, 2) points; None where no face is found
Watch = Callable[[str, Frame, Frame, Sequence[Frame]], object]


@dataclass(frozen=True)
class Extractors:
    """Judges from outside, each (H, W, 3) uint8 to an array; None ones are left out.

    Attributes:
        landmarks: to (M, 2) pixels, or None where no face is found; gives `akd` and `lost`.
        embedding: to a vector, or None; gives `aed`.
        features: to a vector; gives `fid` over all frames.
    """

    landmarks: Extract | None = None
    embedding: Extract | None = None
    features: Extract | None = None


@dataclass(frozen=True)
class Figure:
    """A measure: its mean over clips, with a 95 % bootstrap interval over clips."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Reconstruction:
    """How well one model rebuilds clips.

    Attributes:
        model: its name.
        detector: what `keypoint_distance` was measured with: the model's own detector, so not for comparing models.
        figures: by measure.
        clips: the measures of each clip.
        skipped: clips that could not be read, with the reason.
    """

    model: str
    detector: str
    figures: dict[str, Figure]
    clips: dict[str, dict[str, float]]
    skipped: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def reconstruct(
    animators: Sequence[Animator],
    clips: Path,
    *,
    extractors: Extractors | None = None,
    step: int = 1,
    max_frames: int | None = None,
    watch: Watch | None = None,
    progress: Callable[[], object] | None = None,
) -> list[Reconstruction]:
    """Drive the first frame of every clip by its own frames (absolute transfer), and compare with the true ones.

    Every model sees the same frames; memory is that of a frame for each model.

    Args:
        animators: the models.
        clips: a clip, or a folder of clips.
        extractors: judges from outside.
        step: measure every step-th frame.
        max_frames: of each clip.
        watch: called with (clip, source, driving, one prediction per model).
        progress: called once a clip.

    Raises:
        MediaError: if no clip can be read.
    """
    extractors = extractors or Extractors()
    rows: list[dict[str, dict[str, float]]] = [{} for _ in animators]
    spreads = [Spread() for _ in animators]
    skipped: dict[str, str] = {}
    for path in find_clips(clips):
        try:
            found = _clip(animators, path, extractors, spreads, step, max_frames, watch)
        except FomaugError as error:
            skipped[path.name] = str(error)
        else:
            for row, measures in zip(rows, found, strict=True):
                row[path.name] = measures
        if progress is not None:
            progress()
    if not rows[0]:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
        raise MediaError(f"no clip of {clips} could be measured ({reasons or 'there is none'})")
    return [
        Reconstruction(animator.name, f"{animator.name}'s own", _figures(row, spread), row, skipped)
        for animator, row, spread in zip(animators, rows, spreads, strict=True)
    ]


def _clip(
    animators: Sequence[Animator],
    path: Path,
    extractors: Extractors,
    spreads: Sequence[Spread],
    step: int,
    max_frames: int | None,
    watch: Watch | None,
) -> list[dict[str, float]]:
    frames = iter(read_clip(path, max_frames=max_frames).frames(on_damage=lambda _: None))
    first = next(frames)
    sources = [animator.encode(_tensor(first)) for animator in animators]
    sums: list[dict[str, list[float]]] = [{} for _ in animators]
    for frame in islice(frames, step - 1, None, step):
        judged = _judge(frame, extractors)
        predictions = []
        for animator, source, values, spread in zip(animators, sources, sums, spreads, strict=True):
            driving = animator.detect(_tensor(frame))
            result = animator.animate(source, driving).image.cpu()
            predictions.append(_picture(result))
            again = animator.detect(result)
            measures = _compare(result, frame, judged, _judge(predictions[-1], extractors), spread)
            distance = (again.value - driving.value).norm(dim=-1).mean() * (animator.size - 1) / 2
            for name, value in {**measures, "keypoint_distance": float(distance)}.items():
                values.setdefault(name, []).append(value)
        if watch is not None:
            watch(path.name, first, frame, predictions)
    if not sums[0]:
        raise MediaError(f"{path} has one frame; rebuilding needs two or more (and step frames after the first)")
    return [{name: _mean(found) for name, found in values.items()} for values in sums]


@dataclass(frozen=True)
class _Judged:
    landmarks: Any
    embedding: Any
    features: Any


def _judge(frame: Frame, extractors: Extractors) -> _Judged:
    return _Judged(
        *(None if extract is None else extract(frame) for extract in vars(extractors).values()),
    )


def _compare(result: Tensor, frame: Frame, true: _Judged, found: _Judged, spread: Spread) -> dict[str, float]:
    wanted = _tensor(frame)
    measures = {"l1": l1(result, wanted), "psnr": psnr(result, wanted), "ssim": ssim(result, wanted)}
    if min(wanted.shape[2:]) >= 176:
        measures["ms_ssim"] = ms_ssim(result, wanted)
    row = {name: float(value) for name, value in measures.items()}
    if true.landmarks is not None:
        row["lost"] = float(found.landmarks is None)
        if found.landmarks is not None:
            apart = np.asarray(true.landmarks, float) - np.asarray(found.landmarks, float)
            row["akd"] = float(np.linalg.norm(apart, axis=-1).mean())
    if true.embedding is not None and found.embedding is not None:
        row["aed"] = float(np.linalg.norm(np.asarray(true.embedding, float) - np.asarray(found.embedding, float)))
    if true.features is not None and found.features is not None:
        spread.add(true.features, found.features)
    return row


def _figures(clips: dict[str, dict[str, float]], spread: Spread) -> dict[str, Figure]:
    names = dict.fromkeys(name for row in clips.values() for name in row)
    figures = {}
    for name in names:
        values = [row[name] for row in clips.values() if name in row]
        figures[name] = Figure(_mean(values), *confidence(values))
    if spread.true:
        figures["fid"] = Figure(spread.distance(), math.nan, math.nan)
    return figures


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _tensor(frame: Frame) -> Tensor:
    return torch.tensor(frame).permute(2, 0, 1)[None].float() / 255


def _picture(image: Tensor) -> Frame:
    pixels: Frame = (image[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return pixels
