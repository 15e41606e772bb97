"""What a job left behind, and motions and modules as JSON: their parsers, and small good files for them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from media_parsers import encoded, smooth
from parser import Parser
from PIL import Image
from small_files import TINY, build_model


@cache
def tools() -> tuple[Any, Any]:
    """Make a tiny model, and a pool of two tracks for it."""
    from fomaug import DrivingPool, Keypoints, MotionTrack

    model = build_model(TINY)
    generator = torch.Generator().manual_seed(1)
    tracks = []
    for name in ("nod", "shake"):
        steps = torch.randn(4, 3, 2, generator=generator) * 0.02
        value = torch.rand(1, 3, 2, generator=generator) - 0.5 + steps.cumsum(0)
        tracks.append(MotionTrack(name, Keypoints(value, torch.eye(2).repeat(4, 3, 1, 1)), 25.0, name, "ab" * 32))
    return model, DrivingPool(tracks, model.name, model.hash)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """A folder with a finished job, to go on with; it is removed when the process ends."""
    made = tempfile.TemporaryDirectory()
    folder = Path(made.name)
    (folder / "faces").mkdir()
    for number in range(2):
        (folder / "faces" / f"{number}.png").write_bytes(encoded(Image.fromarray(smooth(32, 32, seed=number)), "PNG"))
    (folder / "points.csv").write_text("file,x0,y0\n0.png,10,12\n1.png,20,22\n")
    _run(folder, resume=False)
    shutil.copytree(folder / "out", folder / "kept")
    return made


def _run(folder: Path, *, resume: bool) -> None:
    from fomaug.expand import expand

    model, pool = tools()
    options: dict[str, Any] = {"copies": 2, "gates": "off", "annotations": str(folder / "points.csv"), "workers": 1}
    expand(folder / "faces", folder / "out", driving=pool, model=model, resume=resume, **options)


def _kept(name: str) -> Callable[[], list[bytes]]:
    return lambda: [(Path(_folder().name) / "kept" / name).read_bytes()]


def _resumed(name: str) -> Callable[[Path], None]:
    """Make the reader that goes on with a finished job one file of which is another, and looks at what is there."""

    def read(path: Path) -> None:
        from fomaug.expand import find_leaks, summarise

        folder = Path(_folder().name)
        shutil.rmtree(folder / "out", ignore_errors=True)
        shutil.copytree(folder / "kept", folder / "out")
        (folder / "out" / name).write_bytes(path.read_bytes())
        _run(folder, resume=True)
        summarise(folder / "out")
        find_leaks([folder / "out"])

    return read


@cache
def motion_files() -> list[bytes]:
    from fomaug import MotionParams

    _, pool = tools()
    given = {"pool_hash": pool.hash, "model_hash": pool.model_hash, "clip_hash": "ab" * 32}
    plain = MotionParams("a.png", clip="nod", frame=2, label="nod", strength=0.7, **given)
    boxed = MotionParams(3, clip="shake", frame=1, reference=0, box=(2, 2, 26, 26), relative=False, **given)
    both = MotionParams("a.png", clip="nod", frame=2, box=(0, 0, 16, 16), others=(boxed,), **given)
    still = MotionParams("a.png", skipped=True, strength=0.0, **{**given, "clip_hash": ""})
    return [json.dumps(params.to_dict()).encode() for params in (plain, boxed, both, still)]


@cache
def module_files() -> list[bytes]:
    from fomaug import MotionAugment

    model, pool = tools()
    modules = MotionAugment(pool, model), MotionAugment(pool, model, p=0.5, seed=3, strength_range=(0.2, 0.4))
    return [json.dumps(module.to_dict()).encode() for module in modules]


def run_files() -> list[bytes]:
    """Make the finished runs of a study."""
    row = {"arm": "classic", "choice": 0, "seed": 1, "scores": {"a.png": 0.5, "b.png": 1}, "train": 0.75}
    rows = ({**row, "copies": 8, "rejected": number, "seed": number} for number in range(2))
    return ["".join(json.dumps(values) + "\n" for values in rows).encode()]


def _in_study(name: str) -> Callable[[Path], None]:
    """Make the reader that goes on with a study one file of which is another."""

    def read(path: Path) -> None:
        from fomaug.study.runs import RunLog

        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "settings.json").write_text('{"steps": 1, "arms": {}}')
            (Path(folder) / name).write_bytes(path.read_bytes())
            log = RunLog(Path(folder), {"steps": 1, "arms": {}})
            assert all(
                sum(result.scores.values()) + result.train + run.seed is not None for run, result in log.done.items()
            )

    return read


def _read_motion(path: Path) -> None:
    from fomaug import MotionAugment, MotionParams

    model, pool = tools()
    params = MotionParams.from_dict(_mapping(path))
    json.dumps(params.to_dict(), allow_nan=False)
    MotionAugment(pool, model).apply(torch.full((1, 3, 32, 32), 0.5), [params])


def _read_module(path: Path) -> None:
    from fomaug import MotionAugment

    model, pool = tools()
    values = _mapping(path)
    given = values if isinstance(values, dict) else {}
    # What the file names is looked for by its name; the rest was given as objects.
    driving = pool if given.get("driving") is None else None
    module = MotionAugment.from_dict(values, driving=driving, model=model if given.get("model") == "tiny" else None)
    module(torch.full((2, 3, 32, 32), 0.5))


def _mapping(path: Path) -> Any:
    """Read JSON as a caller would: what is none never reaches the functions under test."""
    from fomaug import FomaugError
    from fomaug.untrusted import load_json

    return load_json(path.read_bytes(), path.name, FomaugError, finite=False)


PARSERS = {
    "summary": Parser(_resumed("expand.json"), _kept("expand.json")),
    "resumed manifest": Parser(_resumed("manifest.jsonl"), _kept("manifest.jsonl")),
    "list of sources": Parser(_resumed("sources.jsonl"), _kept("sources.jsonl")),
    "runs of a study": Parser(_in_study("runs.jsonl"), run_files),
    "settings of a study": Parser(_in_study("settings.json"), lambda: [b'{"steps": 1, "arms": {}}']),
    "motion": Parser(_read_motion, motion_files),
    "module": Parser(_read_module, module_files),
}
