"""Jobs of the command line in processes of their own, for tests that kill them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(folder: Path, *words: str, python: str = sys.executable) -> subprocess.Popen[bytes]:
    """Start `fomaug expand` with the tiny model and pool of a folder."""
    options = ["--model", "tiny.safetensors", "--driving", "pool.safetensors", "--device", "cpu", "--gates", "off"]
    options += ["--batch-size", "4", "--no-progress"]
    words = words if "--finish" in words else (*words, *options)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [python, "-m", "fomaug", "expand", *words]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> str:
    """Wait for a process that must succeed, and return its output."""
    out, complaint = process.communicate()
    assert process.returncode == 0, complaint.decode()
    return out.decode()


def children(pid: int) -> list[int]:
    """List the living children of a process."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def kill(pid: int) -> None:
    """Kill a process that may have ended already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def wait_for(condition: object, seconds: float = 30.0) -> bool:
    """Wait until a function returns something true."""
    deadline = time.monotonic() + seconds
    assert callable(condition)
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
