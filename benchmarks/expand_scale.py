"""Measure `fomaug expand` on large jobs: resume, planning, memory, overhead, and the speed-up by several processes.

    python benchmarks/expand_scale.py resume --rows 1000000       rows and files without pictures; seconds and memory
    python benchmarks/expand_scale.py plan --sources 200000       sources without pictures; the same
    python benchmarks/expand_scale.py run --sources 200000        job of small sources, simple animator; the same
    python benchmarks/expand_scale.py masks --sources 50000       list of a folder of 1-megapixel masks; the same
    python benchmarks/expand_scale.py sheet                       contact sheet of pictures of 12 megapixels; the same
    python benchmarks/expand_scale.py clip --frames 90000         pool of one clip, an hour at 25 fps; the same
    python benchmarks/expand_scale.py overhead faces/             wall time relative to the animator alone, gates off
    python benchmarks/expand_scale.py processes faces/            two processes of one thread compared with one
    python benchmarks/expand_scale.py ray faces/                  Ray compared with the local engine, without the start

Prints JSON. Memory is the growth of the peak over that of the process with its model loaded. Run `overhead`,
`processes` and `ray` on a machine that is otherwise idle.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fomaug
from fomaug.expand.card import save_contact_sheet
from fomaug.expand.dataset import find_sources, save_sources
from fomaug.expand.labels import Annotator
from fomaug.expand.manifest import to_line
from fomaug.expand.output import MANIFEST
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.shards import Division
from fomaug.expand.sources import SourceFile
from fomaug.media import Provenance, encode_image, open_video, read_picture, to_tensor
from fomaug.networks import build_networks

COPIES = 16
_LINKS = 60_000  # of one file, as file systems allow


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("dataset", type=Path, nargs="?", help="folder of pictures, for overhead and processes")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--sources", type=int, default=200_000)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--frames", type=int, default=90_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(PARTS[args.part](args, Path(folder)), indent=2))


def measure_resume(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Resume a finished job of stand-in rows, whose copies are links to one small file."""
    make_sources(folder / "faces", args.rows // COPIES)
    make_copies(folder, {"driving": "builtin", "copies": COPIES, "gates": "off", "device": "cpu"})
    return in_new_process(resume, folder)


def resume(folder: Path) -> dict[str, Any]:
    model = fomaug.load_model(device="cpu")
    with memory() as grown:
        start, cpu = time.perf_counter(), time.process_time()
        options: dict[str, Any] = {"driving": "builtin", "copies": COPIES, "gates": "off"}
        report = fomaug.expand(folder / "faces", folder / "out", model=model, resume=True, **options)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert report.new == 0, report
    times = {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1)}
    return {"rows": report.written, **times, "megabytes": grown()}


def measure_plan(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Find and divide many small sources, and save their list."""
    make_sources(folder / "faces", args.sources)
    return in_new_process(plan, folder)


def plan(folder: Path) -> dict[str, Any]:
    settings = ExpandPlan(str(folder / "faces"), str(folder / "out"), copies=COPIES)
    (folder / "out").mkdir()
    with memory() as grown:
        start, cpu = time.perf_counter(), time.process_time()
        found = find_sources(folder / "faces", out=folder / "out")
        division = Division(settings, found.chosen)
        save_sources(folder / "out", found.chosen)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    counts = {"sources": len(found.chosen), "copies": division.num_copies}
    return {**counts, "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "megabytes": grown()}


def in_new_process(measure: Callable[[Path], dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Measure in a process that has not made the stand-ins, whose freed memory would hide the growth."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (folder,))


def measure_run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run a whole job of many small sources with a stand-in animator."""
    make_sources(folder / "faces", args.sources)
    return in_new_process(run, folder)


def run(folder: Path) -> dict[str, Any]:
    model = make_stand_in()
    pool = fomaug.DrivingPool.gestures(fomaug.load_model(device="cpu"))
    pool = fomaug.DrivingPool(pool.tracks, model.name, model.hash)
    options: dict[str, Any] = {"model": model, "driving": pool, "copies": 1, "gates": "off", "format": "webdataset"}
    (folder / "warm").mkdir()
    shutil.copy(next((folder / "faces").rglob("*.png")), folder / "warm" / "a.png")
    fomaug.expand(folder / "warm", folder / "warm-out", **options)
    with memory() as grown:
        start = time.perf_counter()
        report = fomaug.expand(folder / "faces", folder / "out", **options)
        seconds = time.perf_counter() - start
    return {"sources": report.sources, "copies": report.new, "seconds": round(seconds, 1), "megabytes": grown()}


def make_stand_in() -> fomaug.Animator:
    """Make an animator of the architecture of the shipped model with few channels and random weights."""
    config: Any = fomaug.load_model(device="cpu").config
    motion = replace(config.generator.motion, size=32, widths=(8,) * 5)
    config = replace(
        config,
        detector=replace(config.detector, input_size=64, widths=(8,) * 5),
        generator=replace(config.generator, motion=motion, widths=(8,) * 3),
        size=64,
    )
    detector, generator = build_networks(config)
    return fomaug.Animator(config, detector, generator, name="stand-in").requires_grad_(False)


def measure_masks(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """List the masks of many pictures, as a job does before it begins."""
    make_sources(folder / "faces", args.sources)
    names = (f"{index // 1000:04d}/{index:07d}.png" for index in range(args.sources))
    make_links(folder / "masks", names, encode_image(np.zeros((1024, 1024), np.uint8), "png"))
    return in_new_process(masks, folder)


def masks(folder: Path) -> dict[str, Any]:
    plan = ExpandPlan(str(folder / "faces"), str(folder / "out"), annotations=str(folder / "masks"))
    found = find_sources(folder / "faces", out=folder / "out", annotations=plan.annotations)
    with memory() as grown:
        start = time.perf_counter()
        annotator = Annotator(plan, found.chosen)
        annotator.digest()
        seconds = time.perf_counter() - start
    return {"masks": len(annotator.labels), "seconds": round(seconds, 1), "megabytes": grown()}


def measure_sheet(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Make a contact sheet of 12 sources and 12 copies of each, from files, as a job of older versions has them."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8).repeat(100, 0).repeat(100, 1)
    for suffix, format in ((".jpg", "jpeg"), (".png", "png")):
        make_links(folder / "out", (f"{number}{suffix}" for number in range(13)), encode_image(pixels, format))
    return {suffix[1:]: in_new_process(partial(sheet, suffix), folder) for suffix in (".jpg", ".png")}


def sheet(suffix: str, folder: Path) -> dict[str, Any]:
    copies = range(12)
    rows = [{"file": f"{copy}{suffix}", "source": "a", "copy": copy, "motion": {"skipped": False}} for copy in copies]
    sources = [SourceFile(folder / "out", f"{number}{suffix}") for number in range(12)]
    with memory() as grown:
        start = time.perf_counter()
        save_contact_sheet(folder / "out", {source.key: rows for source in sources}, sources, Provenance("stand-in"))
        seconds = time.perf_counter() - start
    return {"pictures": 12 * 13, "seconds": round(seconds, 1), "megabytes": grown()}


def measure_clip(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Read the motion of one long clip with a stand-in animator."""
    frame = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with open_video(folder / "clip.mp4", 25.0) as writer:
        for number in range(args.frames):
            writer.write(np.roll(frame, number % 7, 1))
    return in_new_process(partial(clip, args.frames), folder)


def clip(frames: int, folder: Path) -> dict[str, Any]:
    model = make_stand_in()
    with memory() as grown:
        start = time.perf_counter()
        pool = fomaug.DrivingPool.from_clips(folder / "clip.mp4", model, crop="frame", max_frames=frames)
        seconds = time.perf_counter() - start
    return {"frames": pool.num_frames, "seconds": round(seconds, 1), "megabytes": grown()}


def measure_ray(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time two processes of the local engine and two actors of Ray, each with few and with all copies.

    The difference between the two jobs of an engine is the time of the copies beyond its start.
    """
    times: dict[str, dict[int, list[float]]] = {"local": {}, "ray": {}}
    options: dict[str, Any] = {"driving": "builtin", "gates": "off", "device": "cpu", "samples_per_shard": 200}
    options["processes"] = 2
    torch.set_num_threads(2)  # the local engine divides them; an actor has one
    few, many = 1, args.copies
    for _ in range(args.turns):
        for name in times:
            for copies in (few, many):
                start = time.perf_counter()
                fomaug.expand(args.dataset, folder / name, engine=name, copies=copies, **options)
                times[name].setdefault(copies, []).append(time.perf_counter() - start)
                shutil.rmtree(folder / name)
    seconds = {
        name: {str(copies): round(statistics.median(values), 1) for copies, values in found.items()}
        for name, found in times.items()
    }
    beyond = {name: found[str(many)] - found[str(few)] for name, found in seconds.items()}
    ratio = beyond["ray"] / beyond["local"]
    return {"seconds_by_copies": seconds, "beyond_start": beyond, "ray_beside_local": round(ratio, 3)}


def measure_overhead(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Compare whole jobs, without loading the model, with animating the same batches from memory."""
    torch.set_num_threads(1)
    model = fomaug.load_model(device="cpu")
    augment = fomaug.MotionAugment("builtin", model=model, p=1.0, batch_size=16)
    paths = sorted(path for path in args.dataset.rglob("*") if path.is_file())[:100]
    images = [to_tensor(read_picture(path).rgb) for path in paths]
    keys = [path.relative_to(args.dataset).as_posix() for path in paths]
    dataset = folder / "faces"
    for path, key in zip(paths, keys, strict=True):
        (dataset / key).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, dataset / key)
    rates: dict[str, list[float]] = {"animator": [], "folder": [], "webdataset": []}
    sources = 16 // args.copies
    for _ in range(args.turns):
        start = time.perf_counter()
        for first in range(0, len(images), sources):
            params = augment.draw(keys[first : first + sources], copies=args.copies)
            augment.apply(torch.stack(images[first : first + sources]), params)
        rates["animator"].append(time.perf_counter() - start)
        for format in ("folder", "webdataset"):
            start = time.perf_counter()
            out = folder / format
            options: dict[str, Any] = {"driving": "builtin", "copies": args.copies, "gates": "off", "device": "cpu"}
            fomaug.expand(dataset, out, model=model, format=format, **options)
            rates[format].append(time.perf_counter() - start)
            shutil.rmtree(out)
    seconds = {name: statistics.median(times) for name, times in rates.items()}
    ratios = {name: round(seconds[name] / seconds["animator"], 3) for name in ("folder", "webdataset")}
    return {"copies": len(images) * args.copies, "seconds": seconds, "times_the_animator": ratios}


def measure_processes(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time whole jobs, with the start of their processes, in one and in two processes of one thread each."""
    times: dict[str, list[float]] = {"one": [], "two": []}
    used: dict[str, list[float]] = {"one": [], "two": []}
    options: dict[str, Any] = {"driving": "builtin", "copies": args.copies, "gates": "off", "device": "cpu"}
    options["samples_per_shard"] = 200
    for _ in range(args.turns):
        for name, count in (("one", 1), ("two", 2)):
            torch.set_num_threads(count)  # processes divide the threads
            start, before = time.perf_counter(), processor_seconds()
            report = fomaug.expand(args.dataset, folder / name, processes=count, **options)
            times[name].append(time.perf_counter() - start)
            used[name].append(processor_seconds() - before)
            shutil.rmtree(folder / name)
    seconds = {name: statistics.median(found) for name, found in times.items()}
    return {
        "copies": report.written,
        "seconds": seconds,
        "processor_seconds": {name: statistics.median(found) for name, found in used.items()},
        "speed_up": round(seconds["one"] / seconds["two"], 2),
    }


def processor_seconds() -> float:
    """Return the processor time of this process and of all processes that it started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(found.ru_utime + found.ru_stime for found in used)


def make_sources(folder: Path, count: int) -> None:
    """Make a folder of classes of a thousand pictures, all links to a few files."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    content = encode_image(pixels, "png")
    make_links(folder, (f"{index // 1000:04d}/{index:07d}.png" for index in range(count)), content)


def make_links(folder: Path, names: Iterator[str], content: bytes) -> None:
    origin = Path()
    for index, name in enumerate(names):
        path = folder / name
        if index % 1000 == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        if index % _LINKS == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            origin = path
        else:
            path.parent.mkdir(exist_ok=True)
            os.link(origin, path)


def make_copies(folder: Path, options: dict[str, Any]) -> None:
    """Prepare a job, make the first copy for real, and repeat its row and file for all others."""
    (folder / "one").mkdir()
    shutil.copy(next((folder / "faces").rglob("*.png")), folder / "one" / "a.png")
    first = fomaug.expand(folder / "one", folder / "first", **{**options, "copies": 1})
    row = json.loads((first.out / MANIFEST).read_text())
    content = (first.out / row["file"]).read_bytes()
    fomaug.expand(folder / "faces", folder / "out", prepare=True, **options)
    keys = [source.key for source in find_sources(folder / "faces", out=folder / "out").chosen]
    names = [f"{key[:-4]}_m{copy:03d}.png" for key in keys for copy in range(COPIES)]
    make_links(folder / "out", iter(names), content)
    with (folder / "out" / MANIFEST).open("w") as file:
        for number, name in enumerate(names):
            key = keys[number // COPIES]
            ours = {"source": key, "copy": number % COPIES, "label": key[:4], "source_label": key[:4]}
            file.write(to_line({**row, "file": name, **ours}))


@contextmanager
def memory() -> Iterator[Callable[[], int]]:
    """Measure the growth of the peak of the process's memory during the block, in megabytes."""
    reset_peak()
    before = peak()
    yield lambda: round((peak() - before) / 2**20)


def reset_peak() -> None:
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def peak() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


PARTS: dict[str, Callable[[argparse.Namespace, Path], dict[str, Any]]] = {
    "resume": measure_resume,
    "plan": measure_plan,
    "run": measure_run,
    "masks": measure_masks,
    "sheet": measure_sheet,
    "clip": measure_clip,
    "overhead": measure_overhead,
    "processes": measure_processes,
    "ray": measure_ray,
}

if __name__ == "__main__":
    main()
