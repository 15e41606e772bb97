"""Other runtimes on a CPU: ONNX Runtime and OpenVINO beside torch, at equal pixels. Prints JSON.

    python benchmarks/runtimes.py --threads 1 --batch 8

The model is exported as by `fomaug export`. "encode" runs the detector's and the encoder's file, "animate" the
generator's. All candidates take turns in one process. Times are those of the processor with one thread, so that other
programs count little, and those of the clock with several. A runtime that is not installed is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from timing import machine, portraits

import fomaug
from fomaug.animator import Animator
from fomaug.types import Keypoints
from fomaug.weights import export_onnx

Arrays = list[np.ndarray]
Session = Callable[[Arrays], Arrays]


class Material(NamedTuple):
    """Sources (B, 3, S, S), and the keypoints of B driving frames."""

    sources: torch.Tensor
    driving: Keypoints


class Candidate(NamedTuple):
    """The two stages of a runtime: each gives arrays, the pixels first in `animate`."""

    encode: Callable[[], Arrays]
    animate: Callable[[], Arrays]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--turns", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(json.dumps(report(args.batch, args.threads, args.turns), indent=2))


@torch.no_grad()
def report(batch: int, threads: int, turns: int) -> dict[str, Any]:
    """Let all runtimes take turns, and compare their times and pixels with torch's."""
    model = fomaug.load_model("lite-256", device="cpu")
    images = portraits(2 * batch, model.size).float() / 255
    material = Material(images[:batch], model.detect(images[batch:]))
    with tempfile.TemporaryDirectory() as folder:
        exported = export_onnx(model, Path(folder))
        candidates = {"torch": with_torch(model, material)}
        for name, load in RUNTIMES.items():
            if importlib.util.find_spec(name):
                parts = [load(Path(folder) / f"{part}.onnx", threads) for part in ("detector", "encoder", "generator")]
                candidates[name] = with_sessions(parts, material)
        pixels = {name: candidate.animate()[0] for name, candidate in candidates.items()}
        clock = time.process_time if threads == 1 else time.perf_counter
        stages = {stage: take_turns(candidates, stage, turns, clock) for stage in Candidate._fields}
    return {
        "machine": machine(torch.device("cpu")),
        "settings": {"batch": batch, "threads": threads, "turns": turns, "clock": clock.__name__},
        "stages": {stage: compare(times, batch) for stage, times in stages.items()},
        "largest_difference": {name: float(np.abs(own - pixels["torch"]).max()) for name, own in pixels.items()},
        "largest_difference_of_exports": exported,
    }


def with_torch(model: Animator, material: Material) -> Candidate:
    """Run the model itself."""
    source = model.encode(material.sources)

    def encode() -> Arrays:
        return [part.numpy() for part in model.encode(material.sources).features]

    return Candidate(encode, lambda: [model.animate(source, material.driving).image.numpy()])


def with_sessions(parts: list[Session], material: Material) -> Candidate:
    """Run the three exported files."""
    detector, encoder, generator = parts
    image = material.sources.numpy()

    def encode() -> Arrays:
        return [*encoder([image]), *detector([image])]

    assert material.driving.jacobian is not None
    inputs = [image, *encode(), material.driving.value.numpy(), material.driving.jacobian.numpy()]
    return Candidate(encode, lambda: generator(inputs))


def onnx_runtime(path: Path, threads: int) -> Session:
    """Load a file in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return lambda arrays: session.run(None, dict(zip(names, arrays, strict=True)))


def open_vino(path: Path, threads: int) -> Session:
    """Load a file in OpenVINO, with float32 arithmetic."""
    import openvino

    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(str(path), "CPU", options)
    return lambda arrays: [np.array(part) for part in compiled(arrays).values()]


RUNTIMES: dict[str, Callable[[Path, int], Session]] = {"onnxruntime": onnx_runtime, "openvino": open_vino}


def take_turns(
    candidates: dict[str, Candidate], stage: str, turns: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Time a stage of all candidates in turns; the first turn, in which memory is allocated, is left out."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(turns + 1):
        for name, candidate in candidates.items():
            start = clock()
            getattr(candidate, stage)()
            times[name].append(clock() - start)
    return {name: spent[1:] for name, spent in times.items()}


def compare(times: dict[str, list[float]], batch: int) -> dict[str, dict[str, float]]:
    """Summarise the turns of a stage."""
    return {
        name: {
            "ms_a_picture": round(1e3 * statistics.median(spent) / batch, 2),
            "times_as_fast_as_torch": round(
                statistics.median(a / b for a, b in zip(times["torch"], spent, strict=True)), 3
            ),
        }
        for name, spent in times.items()
    }


if __name__ == "__main__":
    main()
