"""Measure every figure of docs/evidence/benchmarks.md in one run on this machine. Prints JSON.

    python benchmarks/figures.py --out figures.json
    python benchmarks/figures.py --only network draws --seconds 2
    python benchmarks/figures.py --only stages official --threads 2

Each figure has a description of its method. All candidates of a figure take turns, and ratios compare candidates of the
same run. On a CPU, one thread is used unless the method has another number; `stages` and `official` are measured for
each number of `--threads`. The figures of a GPU are measured only on a machine with one. `compile` takes ten minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import compiled
import convolutions
import crowd
import draws
import goals
import gpu
import official
import operations
import runtimes
import throughput
import torch
from timing import machine

import fomaug
from fomaug.errors import MissingExtraError
from fomaug.evaluation import bench, official_animator

CPU: Final = torch.device("cpu")
CUDA: Final = torch.device("cuda")
POOLS: Final = ("builtin", "parametric")
NO_GPU: Final = "not measured: torch finds no GPU here"


class Time(NamedTuple):
    """Seconds for each candidate of a figure, and numbers of threads for the figures that have several."""

    seconds: float
    threads: list[int]

    @property
    def rounds(self) -> int:
        return max(1, round(self.seconds))


class Figure(NamedTuple):
    """A figure: its method in words, and the function that measures its values."""

    method: str
    measure: Callable[[Time], Any]


def _part(name: str) -> Callable[[Time], Any]:
    return lambda given: throughput.run([name], CPU, "float32", 8, given.seconds)[name]


def _draws(given: Time) -> Any:
    model = fomaug.load_model("lite-256", device="cpu")
    return [
        draws.measure(fomaug.MotionAugment(pool, model, p=1.0, selection=selection), 1, given.seconds / 4)
        for pool in POOLS
        for selection in draws.SELECTIONS
    ]


def _overhead(given: Time) -> Any:
    augment = fomaug.MotionAugment("builtin", model=fomaug.load_model("lite-256", device="cpu"), p=1.0)
    return {f"batches of {batch}": draws.overhead(augment, batch, given.seconds) for batch in (8, 1)}


def _stages(given: Time) -> Any:
    animators = [fomaug.load_model("lite-256", device="cpu"), official_animator()]
    return {
        f"{threads} threads, batches of {batch}": bench(
            animators, batch_size=batch, rounds=given.rounds, threads=threads
        ).to_dict()
        for threads in given.threads
        for batch in (1, 4)
    }


def _official(given: Time) -> Any:
    turns = max(1, round(given.seconds / 4))
    found = {}
    for threads in given.threads:
        with _threads(threads):
            found[f"{threads} threads"] = official.report(2, 8, turns, CPU)
    return found


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _runtimes(given: Time) -> Any:
    try:
        found = {f"batches of {batch}": runtimes.report(batch, 1, given.rounds) for batch in (8, 1)}
    except MissingExtraError as error:
        return f"not measured: {error}"
    return found | {"batches of 16, 2 threads that sleep while they wait": _patient_runtimes(given)}


def _patient_runtimes(given: Time) -> Any:
    """Run the script in a new process, because the policy of waiting is read when torch is imported."""
    script = Path(__file__).with_name("runtimes.py")
    command = [sys.executable, str(script), "--threads", "2", "--batch", "16", "--turns", str(given.rounds)]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def _gpu(given: Time) -> Any:
    if not torch.cuda.is_available():
        return NO_GPU
    return gpu.measure(goals.Run(CUDA, "bfloat16", 64, given.seconds / 2, 3), 480.0)


def _gpu_deformations(given: Time) -> Any:
    if not torch.cuda.is_available():
        return NO_GPU
    return throughput.run(["deformations"], CUDA, "bfloat16", 64, given.seconds / 2)["deformations"]


def _gpu_stages(given: Time) -> Any:
    if not torch.cuda.is_available():
        return NO_GPU
    return {
        f"batches of {batch} in {dtype}": bench(
            [
                fomaug.load_model("lite-256", device="cuda", dtype=dtype),
                official_animator().to(CUDA, getattr(torch, dtype)),
            ],
            batch_size=batch,
            rounds=3 * given.rounds,
        ).to_dict()
        for batch, dtype in ((1, "float32"), (64, "bfloat16"))
    }


FIGURES: Final = {
    "deformations": Figure(
        "pictures of 256 x 256, uint8 in and out, batches of 8; median turn; albumentations one by one",
        _part("deformations"),
    ),
    "loading": Figure("passes over batches of 8: plain, network alone, module, MotionLoader", _part("loading")),
    "training": Figure("steps of a ResNet-18 at 224, batches of 8, without and with moved faces", _part("training")),
    "network": Figure("encode and animate in batches of 8, beside a product of large matrices", _part("network")),
    "overhead": Figure("ms for a picture: draw and target keypoints beside the module; processor time", _overhead),
    "stages": Figure("detect, encode, animate in turns with the official architecture; time of the clock", _stages),
    "draws": Figure("1,000 new keys a turn, processor time", _draws),
    "official": Figure(
        "official architecture, 2 sources x 8 frames, against the public procedure; random weights; processor time "
        "with one thread, time of the clock with several",
        _official,
    ),
    "convolutions": Figure(
        "3 x 3 convolutions of the official bottleneck by three methods, and its share of a frame; processor time",
        lambda given: convolutions.report(given.seconds),
    ),
    "runtimes": Figure(
        "the exported files in ONNX Runtime and OpenVINO, beside torch; processor time with one thread", _runtimes
    ),
    "crowd": Figure(
        "eight jobs of one thread against one for each core; two threads beside busy neighbours, by policy of waiting",
        lambda given: crowd.report(given.seconds, max(1, round(given.seconds / 3))),
    ),
    "operations": Figure(
        "operations of a GPU that start a kernel, for a batch of 64, counted on a fake device without a GPU",
        lambda given: operations.count(),
    ),
    "compile": Figure(
        "seconds of the first call of a compiled method, in a new process with an empty cache",
        lambda given: compiled.report(list(compiled.METHODS)),
    ),
    "gpu": Figure("the goals of benchmarks/gpu.py, batches of 64 in bfloat16", _gpu),
    "gpu deformations": Figure("as deformations, on a GPU, batches of 64 in bfloat16", _gpu_deformations),
    "gpu stages": Figure("as stages, on a GPU, one by one and in batches of 64", _gpu_stages),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=list(FIGURES), help="all if left out")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each candidate of a figure, roughly")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="of stages and official")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    args = parser.parse_args()
    torch.set_num_threads(1)
    given = Time(args.seconds, args.threads)
    report: dict[str, Any] = {"machine": machine(CPU), "seconds": args.seconds, "figures": {}}
    for name in args.only:
        report["figures"][name] = measured(FIGURES[name], given)
        if args.out:  # after each figure, so that a run that is ended early loses nothing
            args.out.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def measured(figure: Figure, given: Time) -> dict[str, Any]:
    """Measure a figure, and add its method and the time that it took."""
    start, load = time.perf_counter(), machine(CPU)["load"]
    values = figure.measure(given)
    spent = round(time.perf_counter() - start, 1)
    return {"method": figure.method, "load_before": load, "took_seconds": spent, "values": values}


if __name__ == "__main__":
    main()
