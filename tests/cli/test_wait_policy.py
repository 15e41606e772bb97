"""The command line lets waiting threads sleep; the library leaves the environment as it is."""

from __future__ import annotations

import os
import subprocess
import sys

import fresh
import pytest

ASK = "import os; print(os.environ.get('OMP_WAIT_POLICY'))"
MAIN = "import fomaug.cli; fomaug.cli.main(['--version'])"


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = without_policy() | variables
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)


def without_policy() -> dict[str, str]:
    known = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    return {name: value for name, value in os.environ.items() if name not in known}


@pytest.mark.parametrize(
    ("before", "variables", "policy"),
    [
        (MAIN, {}, "PASSIVE"),
        (MAIN, {"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"),
        (MAIN, {"GOMP_SPINCOUNT": "100"}, "None"),
        (MAIN, {"KMP_BLOCKTIME": "10"}, "None"),
    ],
)
def test_only_the_command_line_sets_a_missing_policy(before: str, variables: dict[str, str], policy: str) -> None:
    assert run(f"{before}; {ASK}", **variables).stdout.split()[-1] == policy


@pytest.mark.parametrize("before", [f"import torch; {MAIN}", "import fomaug; fomaug.Animator"])
def test_nothing_is_set_where_torch_is_loaded(before: str) -> None:
    assert fresh.run(["-c", f"{before}; {ASK}"], env=without_policy(), check=True).stdout.split()[-1] == "None"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have another OpenMP")
def test_openmp_reads_the_policy() -> None:
    code = f"{MAIN}; import torch; torch.ones(2)"
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in run(code, OMP_DISPLAY_ENV="TRUE").stderr
