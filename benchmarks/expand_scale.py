"""Scale of `fomaug expand`: resume of many rows, planning of many sources, overhead, and speed-up of processes.

    python benchmarks/expand_scale.py resume --rows 1000000       stand-in rows and files; seconds and memory
    python benchmarks/expand_scale.py plan --sources 200000       stand-in sources; seconds and memory
    python benchmarks/expand_scale.py overhead faces/             wall time beside the animator alone, gates off
    python benchmarks/expand_scale.py processes faces/            two processes of one thread beside one, and shards

Prints JSON. Memory is the growth of the peak over that of the process with its model loaded. Run `overhead` and
`processes` on a machine that does nothing else.
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
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fomaug
from fomaug.expand.dataset import find_sources, save_sources
from fomaug.expand.manifest import MANIFEST, to_line
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.shards import Division
from fomaug.media import encode_image, read_picture, to_tensor

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
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(PARTS[args.part](args, Path(folder)), indent=2))


def measure_resume(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Resume a finished job of stand-in rows, whose copies are links to one small file."""
    make_sources(folder / "faces", args.rows // COPIES)
    make_copies(folder, {"copies": COPIES, "gates": "off", "device": "cpu"})
    return in_new_process(resume, folder)


def resume(folder: Path) -> dict[str, Any]:
    model = fomaug.load_model(device="cpu")
    with memory() as grown:
        start = time.perf_counter()
        report = fomaug.expand(folder / "faces", folder / "out", model=model, copies=COPIES, gates="off", resume=True)
        seconds = time.perf_counter() - start
    assert report.new == 0, report
    return {"rows": report.written, "seconds": round(seconds, 1), "megabytes": grown()}


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


def measure_overhead(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time whole jobs, without loading the model, beside animating the same batches from memory."""
    torch.set_num_threads(1)
    model = fomaug.load_model(device="cpu")
    augment = fomaug.MotionAugment(model=model, p=1.0, batch_size=16)
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
            fomaug.expand(dataset, out, model=model, copies=args.copies, gates="off", format=format, device="cpu")
            rates[format].append(time.perf_counter() - start)
            shutil.rmtree(out)
    seconds = {name: statistics.median(times) for name, times in rates.items()}
    ratios = {name: round(seconds[name] / seconds["animator"], 3) for name in ("folder", "webdataset")}
    return {"copies": len(images) * args.copies, "seconds": seconds, "times_the_animator": ratios}


def measure_processes(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time whole jobs, with the start of their processes, in one and in two processes of one thread each."""
    torch.set_num_threads(2)
    times: dict[str, list[float]] = {"one": [], "two": []}
    options: dict[str, Any] = {"copies": args.copies, "gates": "off", "device": "cpu", "samples_per_shard": 200}
    for _ in range(args.turns):
        for name, count in (("one", 1), ("two", 2)):
            torch.set_num_threads(count)  # processes share the threads out
            start = time.perf_counter()
            report = fomaug.expand(args.dataset, folder / name, processes=count, **options)
            times[name].append(time.perf_counter() - start)
            shutil.rmtree(folder / name)
    seconds = {name: statistics.median(found) for name, found in times.items()}
    return {"copies": report.written, "seconds": seconds, "speed_up": round(seconds["one"] / seconds["two"], 2)}


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
    "overhead": measure_overhead,
    "processes": measure_processes,
}

if __name__ == "__main__":
    main()
