"""Measure every goal for a GPU in one run of less than ten minutes. Prints JSON lines; exit code 1 if a goal is missed.

    python benchmarks/gpu.py --out gpu.jsonl
    python benchmarks/gpu.py --device cpu --batch 1 --seconds 0 --turns 1 --out cpu.jsonl     the same path, on a CPU

Batches have 64 pictures in bfloat16; the single frame and the public procedure are in float32. Most parts are measured
twice: as fomaug runs by default, and with CUDA graphs (`Animator.use_graphs`); a goal is met if one of both meets it.

The whole command ends after `--minutes`. Each measurement gets a share of the time that is left and stops by the clock.
Its row is printed at once, so a run that is ended early loses nothing; a measurement that did not fit is printed as
skipped. Without a GPU, nothing is measured unless `--device cpu` is given, and the exit code is 2.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from deadline import Deadline
from goals import GOALS, Run, judge, measurements
from timing import OutOfTime, machine

GRACE: Final = 45.0  # seconds after the deadline in which a call that cannot be interrupted may end


def main() -> int:
    args = read_arguments()
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.stderr.write(
            "These goals are for a CUDA GPU, and torch finds none here, so nothing was measured. On a CPU, "
            "`python benchmarks/figures.py` measures what it can show.\n"
        )
        return 2
    seconds = 60 * args.minutes
    faulthandler.dump_traceback_later(seconds + GRACE, exit=True, file=sys.__stderr__)
    try:
        run = Run(torch.device(args.device), args.dtype or _dtype(args.device), args.batch, args.seconds, args.turns)
        goals: dict[str, Any] = {}
        for row in rows(run, Deadline(seconds), args.only):
            write(row, args.out)
            goals = row.get("goals", goals)
    finally:
        faulthandler.cancel_dump_traceback_later()
    return 0 if all(goal["met"] for goal in goals.values()) else 1


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="after which the command ends")
    parser.add_argument("--only", nargs="+", choices=measurements(), default=list(measurements()))
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--dtype", help="of the model; bfloat16 on CUDA and float32 on a CPU if left out")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each candidate of a measurement, at most")
    parser.add_argument("--turns", type=int, default=3, help="of each candidate at least, if the time allows")
    parser.add_argument("--out", type=Path, help="also append the rows to this file")
    return parser.parse_args()


def _dtype(device: str) -> str:
    return "bfloat16" if device == "cuda" else "float32"


def write(row: dict[str, Any], out: Path | None) -> None:
    """Print a row at once, and append it to a file."""
    line = json.dumps(row)
    print(line, flush=True)
    if out is not None:
        with out.open("a") as file:
            file.write(line + "\n")


def rows(run: Run, deadline: Deadline, only: list[str]) -> Iterator[dict[str, Any]]:
    """Measure one part after another; yield the machine, a row for each part, and the goals."""
    settings = {"dtype": run.dtype, "batch": run.batch, "size": 256, "seconds": run.seconds, "turns": run.turns}
    yield {"machine": machine(run.device), "settings": settings, "seconds_left": round(deadline.left())}
    parts = {name: part for name, part in measurements().items() if name in only}
    shares = {name: part.share for name, part in parts.items()}
    found: dict[str, Any] = {}
    for name, part in parts.items():
        start = time.perf_counter()
        row: dict[str, Any] = {"measurement": name, "method": part.method}
        try:
            with deadline.part(shares.pop(name), sum(shares.values())) as end:
                found[name] = row["values"] = part.measure(run._replace(end=end))
        except OutOfTime as error:
            row["skipped"] = str(error)
        except Exception as error:  # noqa: BLE001 (one part must not end the others)
            row["failed"] = f"{type(error).__name__}: {error}"
        yield row | {"took_seconds": round(time.perf_counter() - start, 2)}
    yield {"goals": {name: judge(goal, found) for name, goal in GOALS.items()}}


def measure(run: Run, seconds: float) -> dict[str, Any]:
    """Measure all parts in so many seconds: the rows by the name of their part, and the goals."""
    first, *parts, last = rows(run, Deadline(seconds), list(measurements()))
    return first | {"parts": {part.pop("measurement"): part for part in parts}} | last


if __name__ == "__main__":
    sys.exit(main())
