"""A folder with the corpus in it, the commands that read it, and traps for what must not be run."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from item import Item
from job_parsers import tools
from media_parsers import encoded, smooth
from odd_clips import clips
from odd_labels import Annotated, annotated, picture_files, whole_files
from odd_models import configurations, manifests, pools, weights
from odd_pictures import pictures
from PIL import Image
from small_files import config_files, official_files

SEED = 17
MOST_PIXELS = 4_000_000
# Pillow and FFmpeg know of these, and would look for them in the path.
_PROGRAMS = (
    "gs",
    "gswin64c",
    "ffmpeg",
    "ffprobe",
    "convert",
    "magick",
    "display",
    "xv",
    "djpeg",
    "cjpeg",
    "inkscape",
    "rsvg-convert",
)
_ROOT = Path(__file__).parents[2]


def every(items: Sequence[Item], step: int) -> list[Item]:
    """Take the first and then every n-th of the good items, and so of the bad ones."""
    return [*[item for item in items if item.is_good][::step], *[item for item in items if not item.is_good][::step]]


def corpus(step: int = 1) -> dict[str, list[Item]]:
    """Make the corpus, or every n-th input of each kind."""
    kinds = {
        "picture": pictures(SEED),
        "clip": clips(),
        "file of annotations": whole_files(),
        "weights": weights(),
        "pool": pools(),
        "configuration": configurations(),
        "manifest": manifests(),
    }
    kinds |= {f"annotation in {form.name}": form.items for form in annotated()}
    return {kind: every(items, step) for kind, items in kinds.items()}


@dataclass
class Workshop:
    """The folder, and what came of the commands.

    Attributes:
        root: the folder; commands may write to `out` and `home` in it, and to nothing else.
        items: the corpus, by kind.
        commands: words of each command, by its name.
        results: what `run_corpus.py` found, by the command's name.
        growth: bytes by which the process has grown at most.
        before: what lay in the folder before the commands ran, apart from `out` and `home`.
        after: the same, afterwards.
    """

    root: Path
    items: dict[str, list[Item]]
    commands: dict[str, list[str]] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    growth: int = 0
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)

    def result(self, out: str) -> dict[str, Any]:
        """Read `expand.json` of a job."""
        found: dict[str, Any] = json.loads((self.root / "out" / out / "expand.json").read_text())
        return found

    def rows(self, out: str) -> list[dict[str, Any]]:
        """Read the manifest of a job."""
        lines = (self.root / "out" / out / "manifest.jsonl").read_text().split("\n")
        return [json.loads(line) for line in lines if line]


def run(root: Path, step: int) -> Workshop:
    """Make the folder, run the commands, and look at what is there."""
    shop = Workshop(root, corpus(step))
    _furnish(shop)
    _expand(shop, "first", "one")
    _plan_jobs(shop)
    _plan_models(shop)
    shop.before = _listing(root)
    _carry_out(shop)
    shop.after = _listing(root)
    return shop


def _furnish(shop: Workshop) -> None:
    root = shop.root
    for name in ("bin", "cwd", "home", "in", "out", "tmp"):
        (root / name).mkdir()
    for program in _PROGRAMS:
        path = root / "bin" / program
        path.write_text(f"#!/bin/sh\necho {program} >> '{root}/ran'\nexit 1\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    _save_tools(root / "in")
    (root / "in/one").mkdir()
    (root / "in/one/0.png").write_bytes(encoded(Image.fromarray(smooth(48, 48)), "PNG"))
    (root / "in/config.yaml").write_bytes(config_files()[0])
    (root / "in/zipped.pth.tar").write_bytes(official_files()[0])


def _save_tools(folder: Path) -> None:
    from fomaug import DrivingPool, load_model, save_model

    model, pool = tools()
    save_model(model, folder / "model.safetensors")
    rounded = load_model(folder / "model.safetensors", device="cpu")  # a file has half precision, and another hash
    DrivingPool(pool.tracks, rounded.name, rounded.hash).save(folder / "driving.safetensors")


def _expand(shop: Workshop, out: str, dataset: str, *words: str, **given: str) -> None:
    options = {"driving": "in/driving.safetensors", "model": "in/model.safetensors", **given}
    paths = [word for name, path in options.items() for word in (f"--{name}", str(shop.root / path))]
    plain = ["--copies", "1", "--gates", "off", "--no-progress", "--max-pixels", str(MOST_PIXELS), "--batch-size", "4"]
    shop.commands[out] = [
        "expand",
        str(shop.root / "in" / dataset),
        str(shop.root / "out" / out),
        *paths,
        *plain,
        *words,
    ]


def _plan_jobs(shop: Workshop) -> None:
    folder = shop.root / "in"
    for item in shop.items["picture"]:
        item.write(folder / "pictures")
    _expand(shop, "pictures", "pictures")
    for item in shop.items["clip"]:
        item.write(folder / "clips")
        _animate(shop, item)
    _expand(shop, "clips", "one", "--clip-crop", "frame", driving="in/clips")
    for form in annotated():
        _plan_annotations(shop, form)
    for item in shop.items["file of annotations"]:
        item.write(folder / "whole")
        _expand(shop, f"file of annotations {item.name}", "one", annotations=f"in/whole/{item.name}")


def _animate(shop: Workshop, item: Item) -> None:
    paths = [str(shop.root / "in" / name) for name in ("one/0.png", f"clips/{item.name}", "model.safetensors")]
    made = str(shop.root / "out" / f"{len(shop.commands)}.gif")
    plain = ["-o", made, "--crop", "frame", "--face", "whole", "--max-frames", "2", "--no-progress"]
    shop.commands[f"animate by {item.name}"] = ["animate", *paths[:2], "--model", paths[2], *plain]


def _plan_annotations(shop: Workshop, form: Annotated) -> None:
    items, here = shop.items[f"annotation in {form.name}"], f"annotated {form.name}"
    for picture in picture_files(items):
        picture.write(shop.root / "in" / here / "faces")
    form.write(shop.root / "in" / here / form.name, items)
    _expand(shop, here, f"{here}/faces", annotations=f"in/{here}/{form.name}")


def _plan_models(shop: Workshop) -> None:
    folder = shop.root / "in"
    one = str(folder / "one")
    for number, item in enumerate(shop.items["weights"]):
        item.write(folder / "weights")
        path = str(folder / "weights" / item.name)
        build = ["pool", "build", one, "-o", str(shop.root / "out" / f"{number}.safetensors"), "--model", path]
        take = ["model", "import", path, "--config", str(folder / "config.yaml"), "--name", f"weights-{number}"]
        shop.commands[f"weights {item.name}"] = take if path.endswith(".tar") else [*build, "--crop", "frame"]
    for number, item in enumerate(shop.items["configuration"]):
        item.write(folder / "configurations")
        words = ["--config", str(folder / "configurations" / item.name), "--name", f"configuration-{number}"]
        shop.commands[f"configuration {item.name}"] = ["model", "import", str(folder / "zipped.pth.tar"), *words]
    for item in shop.items["pool"]:
        item.write(folder / "pools")
        shop.commands[f"pool {item.name}"] = ["pool", "show", str(folder / "pools" / item.name)]
    for item in shop.items["manifest"]:
        _plan_manifest(shop, item)


def _plan_manifest(shop: Workshop, item: Item) -> None:
    summary, _, manifest = item.content.partition(b"\0")
    for folder in (shop.root / "in/manifests" / item.name, shop.root / "out" / f"resumed {item.name}"):
        folder.mkdir(parents=True)
        (folder / "expand.json").write_bytes(summary)
        (folder / "manifest.jsonl").write_bytes(manifest)
    shop.commands[f"manifest {item.name}"] = ["report", str(shop.root / "in/manifests" / item.name)]
    shop.commands[f"check of {item.name}"] = ["check", str(shop.root / "in/manifests" / item.name)]
    _expand(shop, f"resumed {item.name}", "one", "--resume")


def _carry_out(shop: Workshop) -> None:
    root, folder = shop.root, shop.root.with_name(f"{shop.root.name}-{uuid.uuid4().hex}")
    folder.mkdir()
    (folder / "commands.json").write_text(json.dumps(list(shop.commands.values())))
    environment = {
        **os.environ,
        "PATH": f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(_ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "FOMAUG_HOME": str(root / "home"),
        "TMPDIR": str(root / "tmp"),
    }
    program = [sys.executable, str(Path(__file__).with_name("run_corpus.py"))]
    files = [str(folder / name) for name in ("commands.json", "results.json")]
    subprocess.run([*program, *files], cwd=root / "cwd", env=environment, check=True)
    found = json.loads((folder / "results.json").read_text())
    shop.results = dict(zip(shop.commands, found["commands"], strict=True))
    shop.growth = found["growth"]


def _listing(root: Path) -> dict[str, Any]:
    """Every path below a folder but for `out` and `home`, with its kind, its size and when it was written."""
    found = {}
    for path in sorted(root.rglob("*")):
        # Python itself writes a file to TMPDIR, and removes it, to see whether it can.
        if path.relative_to(root).parts[0] in ("out", "home") or path == root / "tmp":
            continue
        status = path.lstat()
        found[str(path.relative_to(root))] = status.st_mode, status.st_size, status.st_mtime_ns
    return found
