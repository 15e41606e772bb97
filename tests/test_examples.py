"""Every example runs, prints its result, and leaves the project unchanged."""

from __future__ import annotations

import os
from pathlib import Path

import fresh
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_ends_with_a_result(example, tmp_path):
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "NO_ALBUMENTATIONS_UPDATE": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    # The working folder is temporary, so that files with default paths are not written into the project.
    result = fresh.run([example, "--quick"], cwd=tmp_path, env=environment, timeout=300)
    assert result.returncode == 0, result.stderr
    last = result.stdout.strip().splitlines()[-1]
    assert any(sign.isdigit() for sign in last), f"the last line should say what came out, got {last!r}"
