"""A GPU waits for Python where a batch takes many small operations; this is their number."""

from __future__ import annotations

import json

import operations
import pytest

MOST = {"encode": 134, "fit": 78, "animate": 236, "together": 450}


def test_a_batch_takes_few_operations(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["operations.py", "--batch", "64"])
    operations.main()
    report = json.loads(capsys.readouterr().out)
    found = report["operations"]
    assert report["settings"]["batch"] == 64
    assert found.keys() == MOST.keys()
    assert all(found[step] <= most for step, most in MOST.items()), found
    assert min(found.values()) > 0
