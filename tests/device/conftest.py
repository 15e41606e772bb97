from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import fake_device


@pytest.fixture
def fake_cuda() -> fake_device.FakeCuda:
    """A context with a CUDA device without memory: operations have shapes and no values."""
    return fake_device.FakeCuda()
