"""Processes that are copies of one with torch behave as new ones, and end as their programs end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import fresh
import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems have no fork, or not this kind of socket"
)

FACTS = """
import json, os, sys
names = {name.split(".")[0] for name in sys.modules}
print(json.dumps({
    "argv": sys.argv, "cwd": os.getcwd(), "path": sys.path[:2],
    "name": __name__, "main": sys.modules["__main__"].__name__,
    "word": os.environ.get("WORD"), "torch": "torch" in names, "fomaug": "fomaug" in names, "input": sys.stdin.read(),
}))
"""


def facts(*words: str, cwd: Path, **variables: str) -> dict[str, object]:
    return json.loads(fresh.run(words, cwd=cwd, env={**os.environ, **variables}, check=True).stdout)


def test_a_process_has_its_own_folder_environment_arguments_and_path(tmp_path: Path) -> None:
    found = facts("-c", FACTS, "a", "b", cwd=tmp_path, WORD="given", PYTHONPATH="/one:/two")
    expected = {
        "argv": ["-c", "a", "b"],
        "cwd": str(tmp_path),
        "path": ["", "/one"],
        "name": "__main__",
        "main": "__main__",
        "word": "given",
        "torch": True,
        "fomaug": False,
        "input": "",
    }
    assert found == expected


@pytest.mark.parametrize("words", [("script.py", "a"), ("-m", "script", "a")])
def test_scripts_and_modules_run_as_main(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "script.py").write_text(FACTS)
    found = facts(*words, cwd=tmp_path)
    assert found["name"] == found["main"] == "__main__"
    assert found["path"][0] == str(tmp_path)  # type: ignore[index]
    assert found["argv"][1:] == ["a"]  # type: ignore[index]
    assert Path(found["argv"][0]).name == "script.py"  # type: ignore[index]


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("", 0),
        ("import sys; sys.exit(3)", 3),
        ("raise ValueError('no')", 1),
        ("import os; os.kill(os.getpid(), 9)", -9),
    ],
)
def test_the_exit_code_is_that_of_the_program(code: str, ended: int) -> None:
    assert fresh.run(["-c", code]).returncode == ended


def test_output_errors_and_the_last_functions_of_a_program_are_seen() -> None:
    code = "import atexit, sys; atexit.register(print, 'last'); print('out'); print('error', file=sys.stderr); 1 / 0"
    done = fresh.run(["-c", code])
    assert done.stdout == "out\nlast\n"
    assert done.stderr.startswith("error\n") and done.stderr.rstrip().endswith("ZeroDivisionError: division by zero")
    with pytest.raises(AssertionError, match="ended with 1: error"):
        fresh.run(["-c", code], check=True)


def test_the_processor_time_of_a_process_is_known_after_its_end() -> None:
    process = fresh.start(["-c", "import time\nwhile time.process_time() < 0.3: pass"])
    assert process.processor_seconds == 0
    process.communicate()
    assert process.processor_seconds >= 0.25


def test_a_process_can_be_waited_for_interrupted_and_killed() -> None:
    code = "import time; print('begun', flush=True); time.sleep(60)"
    process = fresh.start(["-c", code])
    assert process.stdout.readline() == b"begun\n"
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    assert Path(f"/proc/{process.pid}").exists()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert b"KeyboardInterrupt" in error
    assert process.returncode == -signal.SIGINT
    other = fresh.start(["-c", code])
    other.kill()
    other.communicate()
    assert other.returncode == -signal.SIGKILL
    other.kill()


def test_pipes_are_open_until_what_the_process_started_has_ended() -> None:
    code = (
        "import os, time\nif os.fork() == 0:\n    time.sleep(0.3); print('child', flush=True)\nelse:\n    os._exit(0)"
    )
    assert fresh.run(["-c", code]).stdout == "child\n"
