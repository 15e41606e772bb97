"""Measure the first call of methods that `torch.compile` compiles, in a new process with an empty cache. Prints JSON.

    python benchmarks/compiled.py --methods detect animate

The first call of `detect` takes about a minute, and that of `animate` several. A C++ compiler is needed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any

import torch
from timing import machine, portraits

import fomaug

METHODS = ("detect", "animate")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--backend", default="inductor")
    parser.add_argument("--call", choices=METHODS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.call:
        print(json.dumps(first_call(args.call, args.backend)))
        return
    print(
        json.dumps({"machine": machine(torch.device("cpu")), "seconds": report(args.methods, args.backend)}, indent=2)
    )


def report(methods: list[str], backend: str = "inductor") -> dict[str, Any]:
    """Measure the first call of each method in seconds."""
    if backend == "inductor" and shutil.which("g++") is None:
        return {"not_measured": "there is no C++ compiler here"}
    return {method: _in_new_process(method, backend) for method in methods}


def _in_new_process(method: str, backend: str) -> float:
    command = [sys.executable, __file__, "--call", method, "--backend", backend]
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    seconds: float = json.loads(done.stdout.splitlines()[-1])
    return seconds


@torch.no_grad()
def first_call(method: str, backend: str) -> float:
    """Compile a method of `lite-256`, and time its first call on one picture."""
    model = fomaug.load_model("lite-256", device="cpu")
    pictures = portraits(2).float() / 255
    source, driving = model.encode(pictures[:1]), model.detect(pictures[1:])
    compiled = torch.compile(getattr(model, method), backend=backend)
    start = time.perf_counter()
    if method == "detect":
        compiled(pictures[:1])
    else:
        compiled(source, driving)
    return round(time.perf_counter() - start, 1)


if __name__ == "__main__":
    main()
