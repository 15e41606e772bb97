"""The command line lets waiting threads sleep; the library leaves the environment as it is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ASK = "import os; print(os.environ.get('OMP_WAIT_POLICY'))"
MAIN = "import fomaug.cli; fomaug.cli.main(['--version'])"


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    known = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    environment = {name: value for name, value in os.environ.items() if name not in known} | variables
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)


@pytest.mark.parametrize(
    ("before", "variables", "policy"),
    [
        (MAIN, {}, "PASSIVE"),
        (MAIN, {"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"),
        (MAIN, {"GOMP_SPINCOUNT": "100"}, "None"),
        (MAIN, {"KMP_BLOCKTIME": "10"}, "None"),
        (f"import torch; {MAIN}", {}, "None"),
        ("import fomaug; fomaug.Animator", {}, "None"),
    ],
)
def test_only_the_command_line_sets_a_missing_policy(before: str, variables: dict[str, str], policy: str) -> None:
    assert run(f"{before}; {ASK}", **variables).stdout.split()[-1] == policy


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have another OpenMP")
def test_openmp_reads_the_policy() -> None:
    code = f"{MAIN}; import torch; torch.ones(2)"
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in run(code, OMP_DISPLAY_ENV="TRUE").stderr
