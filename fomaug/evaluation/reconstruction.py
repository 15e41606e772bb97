"""Reconstruct clips from their first frames, and measure the differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from fomaug.animator import Animator
from fomaug.errors import FomaugError, MediaError
from fomaug.evaluation.measures import Extractors, FeatureSets, Frame, compare, confidence, extract_all, to_tensor
from fomaug.media import Provenance, find_clips, open_video, read_clip

_BAND = 20  # height in pixels of the band with the names
_INK, _PAPER = (20, 20, 20), (255, 255, 255)


@contextmanager
def comparison_video(path: Path, models: Sequence[str], *, fps: float = 25) -> Iterator[Watch]:
    """Open a video whose frames come from `reconstruct(..., watch=...)`, clip after clip.

    Args:
        path: `.mp4`, `.gif` or `.webp` file; it is complete and marked as synthetic when the block ends without error.
        models: names above the columns, in the order of the models.
        fps: frames per second.

    Yields:
        The function for the argument `watch` of `reconstruct`. Clips of another size are scaled to the first one's.
    """
    head: list[Frame] = []
    size: list[tuple[int, int]] = []
    with open_video(path, fps, provenance=Provenance(model=", ".join(models))) as writer:

        def watch(_clip: str, source: Frame, driving: Frame, predictions: Sequence[Frame]) -> None:
            if not size:
                size.append((source.shape[1], source.shape[0]))
                head.append(headings(["source", "driving", *models], source.shape[1]))
            columns = [_scaled(part, size[0]) for part in (source, driving, *predictions)]
            writer.write(np.concatenate([head[0], np.concatenate(columns, axis=1)]))

        yield watch


def headings(names: Sequence[str], width: int) -> Frame:
    """Draw the band (20, len(names) * width, 3) uint8 with the names above columns, each shortened to its column."""
    band = Image.new("RGB", (width * len(names), _BAND), _PAPER)
    draw, font = ImageDraw.Draw(band), ImageFont.load_default()
    for column, name in enumerate(names):
        shown = name
        while len(shown) > 1 and draw.textlength(shown, font) > width - 4:
            shown = f"{shown.removesuffix('...')[:-1]}..." if len(shown) > 4 else shown[:-1]
        draw.text((column * width + 3, 4), shown, _INK, font)
    return np.asarray(band)


def _scaled(picture: Frame, size: tuple[int, int]) -> Frame:
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))


Watch = Callable[[str, Frame, Frame, Sequence[Frame]], object]


@dataclass(frozen=True)
class Figure:
    """The mean of a measure over clips, with its 95 % bootstrap interval over clips."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Reconstruction:
    """Measures of one model's reconstructions of clips.

    Attributes:
        model: name of the model.
        judges: name of the extractor by measure. `keypoint_distance` uses the model's own detector, so it cannot
            compare models.
        figures: mean and interval by measure.
        clips: value of each measure by clip.
        skipped: reason for each clip that could not be measured.
        damaged: reason for each clip of which only some frames could be read and measured.
    """

    model: str
    judges: dict[str, str]
    figures: dict[str, Figure]
    clips: dict[str, dict[str, float]]
    skipped: dict[str, str]
    damaged: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain JSON values; None is a value that could not be measured."""
        plain: dict[str, Any] = _without_nan(asdict(self))
        return plain


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
    """Drive the first frame of every clip by its own frames (absolute transfer), and compare with the true frames.

    All models are measured on the same frames; only one frame for each model is in memory.

    Args:
        animators: models to measure.
        clips: a clip, or a folder of clips.
        extractors: functions for the measures that need landmarks, embeddings or features.
        step: distance between measured frames.
        max_frames: largest number of frames of each clip; None for all.
        watch: function that is called with (clip, source, driving, one prediction per model).
        progress: function that is called after each clip.

    Raises:
        MediaError: no clip could be measured.
    """
    extractors = extractors or Extractors()
    rows: list[dict[str, dict[str, float]]] = [{} for _ in animators]
    features = [FeatureSets() for _ in animators]
    skipped: dict[str, str] = {}
    damaged: dict[str, str] = {}
    for path in find_clips(clips):
        name = path.name if path == clips else path.relative_to(clips).as_posix()
        try:
            frames = read_clip(path, max_frames=max_frames).frames(on_damage=partial(damaged.setdefault, name))
            found = _clip(animators, frames, extractors, features, step, watch and partial(watch, path.name))
        except FomaugError as error:
            skipped[name] = str(error)
        else:
            for row, measures in zip(rows, found, strict=True):
                row[name] = measures
        if progress is not None:
            progress()
    if not rows[0]:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(skipped.items())[:3])
        reasons += f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        raise MediaError(f"no clip of {clips} could be measured ({reasons or 'there is none'})")
    return [
        Reconstruction(animator.name, _judges(animator, extractors), _figures(row, sets), row, skipped, damaged)
        for animator, row, sets in zip(animators, rows, features, strict=True)
    ]


def _clip(
    animators: Sequence[Animator],
    frames: Iterator[Frame],
    extractors: Extractors,
    features: Sequence[FeatureSets],
    step: int,
    watch: Callable[[Frame, Frame, Sequence[Frame]], object] | None,
) -> list[dict[str, float]]:
    first = next(frames)
    sources = [animator.encode(to_tensor(first)) for animator in animators]
    sums: list[dict[str, list[float]]] = [{} for _ in animators]
    for frame in islice(frames, step - 1, None, step):
        true = extract_all(frame, extractors)
        predictions = []
        for animator, source, values, sets in zip(animators, sources, sums, features, strict=True):
            driving = animator.detect(to_tensor(frame))
            result = animator.animate(source, driving).image.cpu()
            predictions.append(_picture(result))
            again = animator.detect(result)
            measures = compare(result, frame, true, extract_all(predictions[-1], extractors), sets)
            distance = (again.value - driving.value).norm(dim=-1).mean() * (animator.size - 1) / 2
            for name, value in {**measures, "keypoint_distance": float(distance)}.items():
                values.setdefault(name, []).append(value)
        if watch is not None:
            watch(first, frame, predictions)
    if not sums[0]:
        raise MediaError("the clip is too short; it must have at least `step` frames after the first")
    return [{name: _mean(found) for name, found in values.items()} for values in sums]


def _figures(clips: dict[str, dict[str, float]], features: FeatureSets) -> dict[str, Figure]:
    names = dict.fromkeys(name for row in clips.values() for name in row)
    figures = {}
    for name in names:
        values = [row[name] for row in clips.values() if name in row]
        figures[name] = Figure(_mean(values), *confidence(values))
    if features.true:
        figures["fid"] = Figure(features.distance(), math.nan, math.nan)
    return figures


def _judges(animator: Animator, extractors: Extractors) -> dict[str, str]:
    given = {
        measure: name for part, measures in _MEASURES.items() if (name := extractors.name(part)) for measure in measures
    }
    return {"keypoint_distance": f"{animator.name}'s own detector", **given}


_MEASURES = {"landmarks": ("akd", "lost"), "embedding": ("aed",), "features": ("fid",)}


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _picture(image: Tensor) -> Frame:
    pixels: Frame = (image[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return pixels
