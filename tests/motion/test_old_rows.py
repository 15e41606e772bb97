"""Rows of the first version of the draws replay as they did when they were written."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fomaug import DrivingPool
from fomaug.driving.synthetic.tracks import face_keypoints
from fomaug.faces import KEYPOINT_POINTS
from fomaug.motion import MotionParams, fit

NAMES = tuple(KEYPOINT_POINTS)


@pytest.fixture(scope="module")
def old() -> Any:
    """Rows of the built-in gestures, the poses of their sources, and the target keypoints of the code of that time."""
    return json.loads((Path(__file__).parent / "old_rows.json").read_text())


def test_old_rows_replay(old: Any) -> None:
    pool = DrivingPool.gestures(SimpleNamespace(name="mean", hash="", keypoint_names=NAMES))
    source = face_keypoints(**{name: torch.tensor(angles) for name, angles in old["source"].items()})
    params = [MotionParams.from_dict(row) for row in old["rows"]]
    target, settled = fit(params, source, pool, NAMES)
    assert settled == params
    torch.testing.assert_close(target.value, torch.tensor(old["target"]), atol=2e-5, rtol=0)
