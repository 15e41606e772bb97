"""Signals end a command with a message and their exit code, also while modules are imported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fomaug.cli import Interruption, interruptible, main
from fomaug.media import save_image

ROOT = Path(__file__).parents[2]
PROGRAM = "import sys; from fomaug.cli import main; print('ready', flush=True); sys.exit(main(sys.argv[1:]))"


@pytest.mark.usefixtures("heard_interrupts")
@pytest.mark.parametrize("moment", [0.1, 0.3, 0.7, 1.5])
@pytest.mark.parametrize(("number", "word", "code"), [("SIGINT", "Interrupted", 130), ("SIGTERM", "Terminated", 143)])
def test_signals_at_any_moment_end_with_a_message(
    tmp_path: Path, rng: np.random.Generator, moment: float, number: str, word: str, code: int
) -> None:
    for i in range(4):
        save_image(tmp_path / "faces" / f"{i}.png", rng.integers(0, 256, (32, 32, 3), np.uint8))
    command = [sys.executable, "-c", PROGRAM, "expand", "faces", "out", "--copies", "400", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*command, "--no-progress"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    time.sleep(moment)
    process.send_signal(getattr(signal, number))
    complaint = process.communicate()[1].decode()
    assert "Traceback" not in complaint
    assert word in complaint
    assert process.returncode == code


def test_an_error_that_a_library_makes_of_a_signal_is_an_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def convert(*_: object, **__: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except Interruption as cause:
            raise RuntimeError("Error calling __set_name__") from cause

    monkeypatch.setattr("fomaug.expand.expand", convert)
    assert main(["expand", "faces", "out"]) == 143
    assert "Terminated; all written files are complete" in capsys.readouterr().err


def test_other_errors_stay_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("fomaug.expand.expand", fail)
    with pytest.raises(ZeroDivisionError):
        main(["expand", "faces", "out"])


def test_handlers_are_put_back_and_ignored_signals_stay_ignored() -> None:
    outside = signal.signal(signal.SIGINT, signal.SIG_IGN)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not before
        assert signal.getsignal(signal.SIGTERM) is before
    finally:
        signal.signal(signal.SIGINT, outside)
