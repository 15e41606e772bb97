"""Rows of the first version of the draws replay as they did when they were written."""

from __future__ import annotations

import json
from collections.abc import Callable
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


MODEL = SimpleNamespace(name="mean", hash="", keypoint_names=NAMES)


@pytest.mark.parametrize(
    ("file", "make_pool"), [("old_rows.json", DrivingPool.gestures), ("old_views.json", DrivingPool.views)]
)
def test_old_rows_replay(file: str, make_pool: Callable[[Any], DrivingPool]) -> None:
    """Files have rows of a pool, the poses of their sources, and the target keypoints of the code of that time."""
    old = json.loads((Path(__file__).parent / file).read_text())
    pool = make_pool(MODEL)
    source = face_keypoints(**{name: torch.tensor(angles) for name, angles in old["source"].items()})
    params = [MotionParams.from_dict(row) for row in old["rows"]]
    target, settled = fit(params, source, pool, NAMES)
    assert settled == params
    torch.testing.assert_close(target.value, torch.tensor(old["target"]), atol=2e-5, rtol=0)
