"""Measure the speed on a busy machine: many jobs on few cores, and a job of several threads next to busy processes.

    python benchmarks/crowd.py --seconds 10 --rounds 5

`jobs` compares eight jobs of one thread with as many jobs as there are cores, in turns: the pictures a second of all
jobs together. `neighbours` compares threads that sleep while they wait, as in the command line, with threads that spin,
the default of OpenMP: one job with a thread for each core, while as many other processes keep the cores busy. Prints
JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

MOST_JOBS: Final = 8
POLICIES: Final = {"sleeping": {"OMP_WAIT_POLICY": "PASSIVE"}, "spinning": {}}
BUSY: Final = "while True: pass"

Job = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each candidate")
    parser.add_argument("--work", type=int, metavar="THREADS", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        print(json.dumps(work(args.work)))
        return
    print(json.dumps(report(args.seconds, args.rounds), indent=2))


def report(seconds: float, rounds: int) -> dict[str, Any]:
    """Measure both parts."""
    cores = len(os.sched_getaffinity(0))
    return {"cores": cores, "jobs": crowd(cores, seconds, rounds), "neighbours": neighbours(cores, seconds, rounds)}


def crowd(cores: int, seconds: float, rounds: int) -> dict[str, Any]:
    """Compare eight jobs of one thread with one job for each core, in turns."""
    found: dict[int, list[list[Job]]] = {cores: [], MOST_JOBS: []}
    for _ in range(rounds):
        for count, turns in found.items():
            turns.append(run(count, 1, seconds))
    few, many = ([pictures(jobs) for jobs in turns] for turns in found.values())
    own = [statistics.median(per_processor_second(jobs) for jobs in turns) for turns in found.values()]
    return {
        "pictures_a_second": {str(count): median([pictures(j) for j in turns]) for count, turns in found.items()},
        "many_over_few": median([a / b for a, b in zip(many, few, strict=True)]),
        "many_over_few_by_processor_time": round(own[1] / own[0], 3),
    }


def neighbours(cores: int, seconds: float, rounds: int) -> dict[str, Any]:
    """Compare the policies of waiting while as many other processes as cores are busy."""
    found: dict[str, list[list[Job]]] = {name: [] for name in POLICIES}
    with busy(cores):
        for _ in range(rounds):
            for name, turns in found.items():
                turns.append(run(1, cores, seconds, **POLICIES[name]))
    rates = {name: [pictures(jobs) for jobs in turns] for name, turns in found.items()}
    ratios = [a / b for a, b in zip(rates["sleeping"], rates["spinning"], strict=True)]
    return {
        "pictures_a_second": {name: median(rate) for name, rate in rates.items()},
        "sleeping_over_spinning": median(ratios),
    }


def run(count: int, threads: int, seconds: float, **variables: str) -> list[Job]:
    """Run equal jobs at once in separate processes, after all have loaded their models."""
    known = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in known} | variables
    command = [sys.executable, __file__, "--work", str(threads)]
    jobs = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(count)
    ]
    for job in jobs:
        assert job.stdout is not None and job.stdin is not None
        job.stdout.readline()
    for job in jobs:
        assert job.stdin is not None
        job.stdin.write(f"{seconds}\n")
        job.stdin.flush()
    return [json.loads(job.communicate()[0]) for job in jobs]


def work(threads: int) -> Job:
    """Animate pictures, batch after batch, for the time in the first line of the input."""
    import torch
    from timing import portraits

    import fomaug

    torch.set_num_threads(threads)
    augment = fomaug.MotionAugment("builtin", p=1.0)
    images = portraits(8)
    augment(images)
    print("ready", flush=True)
    seconds, made = float(sys.stdin.readline()), 0
    start, used = time.perf_counter(), time.process_time()
    while time.perf_counter() < start + seconds or not made:
        augment(images)
        made += len(images)
    return {"pictures": made, "seconds": time.perf_counter() - start, "processor": time.process_time() - used}


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep cores busy by processes that do nothing else."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def pictures(jobs: Sequence[Job]) -> float:
    """Sum the pictures a second of all jobs."""
    return sum(job["pictures"] / job["seconds"] for job in jobs)


def per_processor_second(jobs: Sequence[Job]) -> float:
    """Compute the pictures for each second of processor time."""
    return sum(job["pictures"] for job in jobs) / sum(job["processor"] for job in jobs)


def median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 3)


if __name__ == "__main__":
    main()
