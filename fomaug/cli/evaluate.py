"""`fomaug evaluate`: several models on the same frames."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fomaug.evaluation import Figure, Reconstruction


def judging(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options that every measuring command has."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_FILE = click.Path(path_type=Path)
_OPTIONS = (
    click.option("-o", "--output", type=_FILE, help="Write everything as JSON, too."),
    click.option("--video", type=_FILE, help="Write source | driving | a column for each model, clip after clip."),
    click.option("--landmarks", help="module:attribute of a landmark detector, for AKD."),
    click.option("--embedding", help="module:attribute of a face embedder, for AED."),
    click.option("--features", help="module:attribute of a feature extractor, for FID."),
    click.option("--step", type=click.IntRange(1), default=1, show_default=True, help="Measure every step-th frame."),
    click.option("--max-frames", type=click.IntRange(2), help="Of each clip."),
    click.option("--device", default="auto", show_default=True),
)


@click.command()
@click.argument("clips", type=click.Path(path_type=Path))
@click.option("--model", "models", multiple=True, required=True, help="Name or file of a model; give several.")
@judging
def evaluate(
    clips: Path,
    models: tuple[str, ...],
    output: Path | None,
    video: Path | None,
    landmarks: str | None,
    embedding: str | None,
    features: str | None,
    step: int,
    max_frames: int | None,
    device: str,
) -> int:
    """Compare models: each rebuilds CLIPS from their first frames, all on the same frames.

    Judges from outside are functions of yours: a frame (H, W, 3) uint8 to points, to a vector, or to None. The exit
    code is 3 if clips were skipped.
    """
    judges = {"landmarks": landmarks, "embedding": embedding, "features": features}
    return compare(models, clips, output, video, judges, step, max_frames, device)


def compare(
    models: Sequence[str],
    clips: Path,
    output: Path | None,
    video: Path | None,
    judges: Mapping[str, str | None],
    step: int,
    max_frames: int | None,
    device: str,
) -> int:
    """Measure, print a table, write JSON and the video where asked for."""
    from tqdm import tqdm

    from fomaug._plugins import named_callable
    from fomaug.driving import find_clips
    from fomaug.evaluation import Extractors, reconstruct
    from fomaug.weights import load_model
    from fomaug.writers import write_file

    animators = [load_model(name, device=device) for name in models]
    extractors = Extractors(**{part: named_callable(name) for part, name in judges.items() if name})
    with contextlib.ExitStack() as stack:
        watch = None if video is None else _video(stack, video, models)
        bar = stack.enter_context(tqdm(total=len(find_clips(clips)), unit="clip", disable=None))
        found = reconstruct(
            animators, clips, extractors=extractors, step=step, max_frames=max_frames, watch=watch, progress=bar.update
        )
    found = [replace(result, model=name) for result, name in zip(found, models, strict=True)]  # as the user knows them
    click.echo(table(found))
    if output is not None:
        write_file(output, json.dumps([result.to_dict() for result in found], indent=2).encode())
    for name, reason in found[0].skipped.items():
        click.echo(f"skipped: {name}: {reason}", err=True)
    return 3 if found[0].skipped else 0


def table(results: Sequence[Reconstruction]) -> str:
    """Lay out figures, a column for each model, with their 95 % intervals."""
    width = max(26, *(len(result.model) + 2 for result in results))
    lines = [f"{'':18}" + "".join(f"{result.model:>{width}}" for result in results)]
    for name in dict.fromkeys(name for result in results for name in result.figures):
        cells = []
        for result in results:
            figure = result.figures.get(name)
            cells.append("not measured" if figure is None else _cell(figure))
        lines.append(f"{name:18}" + "".join(f"{cell:>{width}}" for cell in cells))
    lines.append(
        "means over clips with 95 % bootstrap intervals; keypoint_distance in pixels, by each model's own detector"
    )
    return "\n".join(lines)


def _cell(figure: Figure) -> str:
    interval = f" [{figure.low:.4f}, {figure.high:.4f}]" if figure.low == figure.low else ""
    return f"{figure.mean:.4f}{interval}"


def _video(stack: contextlib.ExitStack, path: Path, models: Sequence[str]) -> Callable[..., Any]:
    import numpy as np
    from PIL import Image

    from fomaug.writers import Provenance, open_video

    writer = stack.enter_context(open_video(path, fps=25, provenance=Provenance(model=", ".join(models))))
    sizes: list[tuple[int, int]] = []

    def watch(_clip: str, source: Any, driving: Any, predictions: Sequence[Any]) -> None:
        sizes.append(source.shape[:2])
        height, width = sizes[0]
        columns = [
            np.asarray(Image.fromarray(part).resize((width, height))) for part in (source, driving, *predictions)
        ]
        writer.write(np.concatenate(columns, axis=1))

    return watch
