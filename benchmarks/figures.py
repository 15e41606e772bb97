"""Measure every figure of docs/evidence/benchmarks.md in one run on this machine. Prints JSON.

    python benchmarks/figures.py --out figures.json
    python benchmarks/figures.py --only network draws --seconds 2

Each figure has a description of its method. All candidates of a figure take turns, and ratios compare candidates of the
same run. On a CPU, one thread is used unless the method has another number. The goals for a GPU are measured only on a
machine with one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import crowd
import draws
import gpu
import official
import runtimes
import throughput
import torch
from timing import machine

import fomaug
from fomaug.errors import MissingExtraError
from fomaug.evaluation import bench, official_animator

CPU: Final = torch.device("cpu")


class Figure(NamedTuple):
    """A figure: its method in words, and the function from the seconds for each candidate to its values."""

    method: str
    measure: Callable[[float], Any]


def _part(name: str) -> Callable[[float], Any]:
    return lambda seconds: throughput.run([name], CPU, "float32", 8, seconds)[name]


def _draws(seconds: float) -> Any:
    model = fomaug.load_model("lite-256", device="cpu")
    pools = ("builtin", "parametric")
    return [
        draws.measure(fomaug.MotionAugment(pool, model, p=1.0, selection=selection), 1, seconds / 4)
        for pool in pools
        for selection in draws.SELECTIONS
    ]


def _stages(seconds: float) -> Any:
    animators = [fomaug.load_model("lite-256", device="cpu"), official_animator()]
    return bench(animators, rounds=max(1, round(seconds)), threads=1).to_dict()


def _runtimes(seconds: float) -> Any:
    try:
        return runtimes.report(8, 1, max(1, round(seconds)))
    except MissingExtraError as error:
        return f"not measured: {error}"


def _gpu(seconds: float) -> Any:
    if not torch.cuda.is_available():
        return "not measured: torch finds no GPU here"
    return gpu.measure(torch.device("cuda"), "bfloat16", 64, seconds / 2)


FIGURES: Final = {
    "deformations": Figure(
        "pictures of 256 x 256, uint8 in and out, batches of 8; median turn; albumentations one by one",
        _part("deformations"),
    ),
    "loading": Figure("passes over batches of 8: plain, network alone, module, MotionLoader", _part("loading")),
    "training": Figure("steps of a ResNet-18 at 224, batches of 8, without and with moved faces", _part("training")),
    "network": Figure("encode and animate in batches of 8, beside a product of large matrices", _part("network")),
    "stages": Figure("detect, encode, animate one by one, in turns with the official architecture", _stages),
    "draws": Figure("1,000 new keys a turn, processor time", _draws),
    "official": Figure(
        "official architecture, 2 sources x 8 frames, against the public procedure; processor time, random weights",
        lambda seconds: official.report(2, 8, max(1, round(seconds / 4)), CPU),
    ),
    "runtimes": Figure(
        "the exported files in ONNX Runtime and OpenVINO, beside torch, in batches of 8; processor time", _runtimes
    ),
    "crowd": Figure(
        "eight jobs of one thread against one for each core; two threads beside busy neighbours, by policy of waiting",
        lambda seconds: crowd.report(seconds, max(1, round(seconds / 3))),
    ),
    "gpu": Figure("the goals of benchmarks/gpu.py, batches of 64 in bfloat16", _gpu),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=list(FIGURES), help="all if left out")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each candidate of a figure, roughly")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    args = parser.parse_args()
    torch.set_num_threads(1)
    figures = {name: measured(FIGURES[name], args.seconds) for name in args.only}
    text = json.dumps({"machine": machine(CPU), "seconds": args.seconds, "figures": figures}, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


def measured(figure: Figure, seconds: float) -> dict[str, Any]:
    """Measure a figure, and add its method and the time that it took."""
    start, load = time.perf_counter(), machine(CPU)["load"]
    values = figure.measure(seconds)
    spent = round(time.perf_counter() - start, 1)
    return {"method": figure.method, "load_before": load, "took_seconds": spent, "values": values}


if __name__ == "__main__":
    main()
