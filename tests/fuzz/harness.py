"""Give a parser many damaged files, in a process that may neither take long nor much memory.

`run_cases("weights", cases)` writes each case to a file and has the parser of that name in `parsers.py` read it. Only
`FomaugError` may come out; everything else, a case that takes too long, that takes too much memory or that ends the
process is returned as a failure. Run as a script, this file is the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SECONDS = 5.0  # the largest files that are read take a second on a fast machine, and two on a slow one
MEMORY = 300 * 2**20
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        case: its number.
        kind: "read", "refused", "error", "time" or "died".
        text: the message of the refusal, or the end of the traceback.
    """

    case: int
    kind: str
    text: str = ""

    @property
    def is_good(self) -> bool:
        return self.kind in ("read", "refused")


def run_cases(parser: str, cases: Iterable[bytes], *, seconds: float = SECONDS, memory: int = MEMORY) -> list[Outcome]:
    """Run cases in a process of their own; one that a case ends is started again after it.

    Args:
        parser: name in `parsers.PARSERS`.
        cases: contents of files.
        seconds: of processor time that a case may take; one that waits is stopped after ten times as long.
        memory: bytes that a case may take beside what the process has.
    """
    return run_mixed(((parser, case) for case in cases), seconds=seconds, memory=memory)


def run_mixed(cases: Iterable[tuple[str, bytes]], *, seconds: float = SECONDS, memory: int = MEMORY) -> list[Outcome]:
    """Run cases of several parsers, (name, content) each, in one process, since it takes seconds to start."""
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = []
        for parser, case in cases:
            (folder / f"{len(names)}.case").write_bytes(case)
            names.append(parser)
        (folder / "parsers.json").write_text(json.dumps(names))
        while len(outcomes) < len(names):
            outcomes += _run(folder, len(outcomes), len(names), seconds, memory)
    return outcomes


def _run(folder: Path, first: int, count: int, seconds: float, memory: int) -> list[Outcome]:
    import fresh

    command = [__file__, str(folder), str(first), str(seconds), str(memory)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(_ROOT), "FOMAUG_HOME": str(folder / "home")}
    done = fresh.run(command, env=environment)
    found = [Outcome(*json.loads(line)) for line in done.stdout.splitlines() if line.startswith("[")]
    if len(found) == count - first:
        return found
    if not found and "fuzz process is ready" not in done.stderr:
        raise RuntimeError(f"the process did not start: {done.stderr[-2000:]}")
    kind = "time" if -done.returncode in (signal.SIGVTALRM, signal.SIGALRM) else "died"
    return [*found, Outcome(first + len(found), kind, f"exit {done.returncode}: {done.stderr[-500:]}")]


@contextlib.contextmanager
def _limits(seconds: float, memory: int) -> Iterator[None]:
    """Let the system end this process after a time, whatever it computes, and give it no more than some memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + memory, resource.RLIM_INFINITY))
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 10 * seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _attempt(read: object, path: Path, seconds: float, memory: int) -> tuple[str, str]:
    from fomaug import FomaugError

    assert callable(read)
    try:
        with _limits(seconds, memory):
            read(path)
    except FomaugError as error:
        return "refused", f"{type(error).__name__}: {str(error)[:400]}"
    except BaseException:  # noqa: BLE001 - this is what is looked for
        return "error", traceback.format_exc()[-1500:]
    return "read", ""


def _main(folder: str, first: str, seconds: str, memory: str) -> None:
    import torch
    from parsers import PARSERS

    torch.set_num_threads(1)
    names = json.loads((Path(folder) / "parsers.json").read_text())
    for name in dict.fromkeys(names):
        PARSERS[name].warm_up()
    sys.stderr.write("fuzz process is ready\n")
    for number in range(int(first), len(names)):
        parser = PARSERS[names[number]]
        path = Path(folder) / f"case{parser.suffix}"
        path.write_bytes((Path(folder) / f"{number}.case").read_bytes())
        print(json.dumps([number, *_attempt(parser.read, path, float(seconds), int(memory))]), flush=True)  # noqa: T201


if __name__ == "__main__":
    _main(*sys.argv[1:])
