"""`fomaug evaluate`, `fomaug reconstruct` and `fomaug study`: measure models on clips, and copies on a dataset."""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fomaug.cli.help import Command, json_option, print_json, quiet_option
from fomaug.cli.options import options_of
from fomaug.study import StudyPlan

if TYPE_CHECKING:
    from fomaug.evaluation import Extractors, Figure, Reconstruction

_FILE = click.Path(path_type=Path)
_OPTIONS = (
    click.option("-o", "--output", type=_FILE, help="JSON file to write the results to."),
    click.option(
        "--video",
        type=_FILE,
        help="Video to write, clip after clip, with columns for source, driving frame and each model.",
    ),
    click.option("--landmarks", help="module:attribute of a landmark detector, for AKD."),
    click.option("--embedding", help="module:attribute of a face embedder, for AED."),
    click.option("--features", help="module:attribute of a feature extractor, for FID."),
    click.option("--step", type=click.IntRange(1), default=1, help="Measure every step-th frame."),
    click.option("--max-frames", type=click.IntRange(2), help="Largest number of frames of each clip."),
    click.option("--device", default="auto", help="auto, cpu, cuda, ..."),
)
_SHOWN = 10  # Largest number of skipped pictures that are printed; study.json names all.


@dataclass(frozen=True)
class Measuring:
    """Values of the options that both commands share."""

    output: Path | None
    video: Path | None
    landmarks: str | None
    embedding: str | None
    features: str | None
    step: int
    max_frames: int | None
    device: str

    def run(self, models: Sequence[str], clips: Path, *, as_json: bool) -> int:
        """Measure models on clips and print a table; write JSON and the video if their paths are given.

        Returns:
            The exit code.
        """
        from fomaug.files import write_file

        for path in (self.output, self.video):
            _check_writable(path)
        found = [replace(result, model=name) for result, name in zip(self._measure(models, clips), models, strict=True)]
        print_json([result.to_dict() for result in found]) if as_json else click.echo(table(found))
        if self.output is not None:
            write_file(self.output, json.dumps([result.to_dict() for result in found], indent=2).encode())
        for word, clip_reasons in (("skipped", found[0].skipped), ("measured in part", found[0].damaged)):
            for name, reason in clip_reasons.items():
                click.echo(f"{word}: {name}: {reason}", err=True)
        return 3 if found[0].skipped else 0

    def _measure(self, models: Sequence[str], clips: Path) -> list[Reconstruction]:
        from tqdm import tqdm

        from fomaug.evaluation import comparison_video, reconstruct
        from fomaug.media import find_clips
        from fomaug.weights import load_model

        extractors = self._extractors()
        animators = [load_model(name, device=self.device) for name in models]
        paths = find_clips(clips)
        with contextlib.ExitStack() as stack:
            watch = None
            if self.video is not None:
                watch = stack.enter_context(comparison_video(self.video, models, fps=_fps(paths) / self.step))
            bar = stack.enter_context(tqdm(total=len(paths), unit="clip", disable=None))
            return reconstruct(
                animators,
                clips,
                extractors=extractors,
                step=self.step,
                max_frames=self.max_frames,
                watch=watch,
                progress=bar.update,
            )

    def _extractors(self) -> Extractors:
        from fomaug.evaluation import Extractors
        from fomaug.imports import named_callable

        named = {"landmarks": self.landmarks, "embedding": self.embedding, "features": self.features}
        return Extractors(**{part: named_callable(name) for part, name in named.items() if name})


def with_measuring(command: Callable[..., int]) -> Callable[..., int]:
    """Add the shared options to a command, and pass them to it as one argument `measuring`."""

    @functools.wraps(command)
    def gathered(**values: Any) -> int:
        shared = {field.name: values.pop(field.name) for field in fields(Measuring)}
        return command(measuring=Measuring(**shared), **values)

    return functools.reduce(lambda made, option: option(made), reversed(_OPTIONS), gathered)


def table(results: Sequence[Reconstruction]) -> str:
    """Make a table of the measures with their 95 % intervals, a column for each model, and name the extractors."""
    rows = {"": [result.model for result in results]}
    for name in dict.fromkeys(name for result in results for name in result.figures):
        rows[name] = [_cell(result.figures.get(name)) for result in results]
    width = 2 + max(len(cell) for cells in rows.values() for cell in cells)
    lines = [f"{name:18}" + "".join(f"{cell:>{width}}" for cell in cells) for name, cells in rows.items()]
    lines.append("means over clips with 95 % bootstrap intervals over clips; fid is computed from all frames together")
    lines.append("keypoint_distance uses each model's own detector and cannot compare models")
    named = {name: extractor for name, extractor in results[0].judges.items() if name != "keypoint_distance"}
    lines += [f"{name}: by {extractor}" for name, extractor in named.items()]
    return "\n".join(lines)


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return "not measured"
    interval = f" [{figure.low:.4f}, {figure.high:.4f}]" if figure.low == figure.low else ""
    return f"{figure.mean:.4f}{interval}"


def _check_writable(path: Path | None) -> None:
    """Raise an error before the long measurement if the result cannot be written."""
    if path is None:
        return
    if path.is_dir():
        raise click.UsageError(f"{path} is a folder; give the path of the file to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent):
        pass


def _fps(paths: Sequence[Path]) -> float:
    """Return the frame rate of the first readable clip."""
    from fomaug.errors import FomaugError
    from fomaug.media import read_clip

    for path in paths:
        with contextlib.suppress(FomaugError):
            return read_clip(path).fps
    return 25.0


@click.command(cls=Command)
@click.argument("clips", type=click.Path(path_type=Path))
@click.option(
    "--model", "models", multiple=True, required=True, help="An installed model, or a model file; repeat for several."
)
@with_measuring
@json_option
def evaluate(clips: Path, models: tuple[str, ...], measuring: Measuring, *, as_json: bool) -> int:
    """Compare models: each reconstructs CLIPS from their first frames, and all are measured on the same frames.

    Landmark detector, face embedder and feature extractor are your own functions from a frame (H, W, 3) uint8 to
    points, to a vector, or to None. The exit code is 3 if clips were skipped.
    """
    return measuring.run(models, clips, as_json=as_json)


@click.command(cls=Command)
@click.argument("model_name", metavar="MODEL")
@click.argument("clips", type=click.Path(path_type=Path))
@with_measuring
@json_option
def reconstruct(model_name: str, clips: Path, measuring: Measuring, *, as_json: bool) -> int:
    """Reconstruct CLIPS from their first frames with MODEL, and measure the differences from the true frames.

    Landmark detector, face embedder and feature extractor are your own functions from a frame (H, W, 3) uint8 to
    points, to a vector, or to None. The exit code is 3 if clips were skipped.
    """
    return measuring.run((model_name,), clips, as_json=as_json)


@click.command(cls=Command)
@click.argument("dataset", type=_FILE)
@click.option("-o", "--out", type=_FILE, help="Folder for runs and results.  [the dataset's name with -study]")
@options_of(StudyPlan)
@click.option(
    "--arm",
    "arms",
    multiple=True,
    metavar="NAME=WHAT",
    help="Additional arm with copies: its name, and a JSON file of options or a pool.",
)
@click.option("--embedding", help="Model of features instead of the trained network, as module:attribute.")
@click.option("--device", default="auto", help="auto, cpu, cuda, ...")
@click.option("--progress/--no-progress", default=True, help="Whether to show a progress bar.")
@quiet_option
@json_option
def study(
    dataset: Path, out: Path | None, arms: tuple[str, ...], embedding: str | None, *, as_json: bool, **options: Any
) -> int:
    """Measure whether copies help on DATASET: train without augmentation, with classic, and with copies.

    Tests are on pictures of DATASET that are not trained on, or with --test on all pictures of another folder.

    The answer, which may be no, is printed with its interval and written to the output folder as study.json, study.txt
    and study.svg. The same command resumes an interrupted study.

    Exit codes: 0 for a finished study, whatever the answer; 2 for wrong arguments or input; 3 for a finished study that
    skipped pictures, which are named; 130 for an interrupted study.
    """
    from fomaug.imports import named_callable
    from fomaug.study import study as run

    result = run(
        dataset,
        out or Path(f"{dataset.resolve().name}-study"),
        arms=dict(map(_read_arm, arms)),
        embed=named_callable(embedding) if embedding else None,
        announce=lambda line: click.echo(line, err=True),
        **options,
    )
    print_json(result.to_dict()) if as_json else click.echo(result.table())
    for key, reason in result.skipped[:_SHOWN]:
        click.echo(f"skipped: {key}: {reason}", err=True)
    if len(result.skipped) > _SHOWN:
        click.echo(f"skipped: {len(result.skipped) - _SHOWN} more, all named in study.json", err=True)
    return 3 if result.skipped else 0


def _read_arm(text: str) -> tuple[str, str]:
    name, equals, what = text.partition("=")
    if not equals or not name or not what:
        raise click.UsageError(
            f"--arm {text!r} is not NAME=WHAT, such as wide=options.json or wide='parametric yaw=-45:45'"
        )
    return name, what
