"""Jobs of views: their angles are options, and every row carries the labels of its view."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fomaug import Animator, DrivingPool, MotionAugment
from fomaug.driving import EXPRESSIONS
from fomaug.errors import ArgumentError
from fomaug.expand import ExpandPlan, expand
from fomaug.expand.manifest import check_row
from fomaug.expand.resources import load_pool
from fomaug.faces import head_pose
from fomaug.motion import MotionParams

ANGLES = "yaw=-20:20:20 pitch=0,10 expressions=neutral,smile"
LOOSE = dict.fromkeys(("max_stretch", "max_occluded", "max_keypoint_error", "max_residual", "max_sharpness"))


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


@pytest.fixture(params=["off", {**LOOSE, "max_folded": None, "min_sharpness": None}], ids=["no gates", "loose gates"])
def made(request: pytest.FixtureRequest, face_model: Animator, faces: Path, tmp_path: Path) -> Path:
    expand(
        faces, tmp_path / "out", driving="views", views=ANGLES, copies=3, model=face_model, gates=request.param, seed=4
    )
    return tmp_path / "out"


def test_rows_have_the_labels_of_their_view(made: Path, face_model: Animator) -> None:
    rows = rows_of(made)
    assert len(rows) == 15
    for row in rows:
        check_row(row)
        view, motion = row["view"], row["motion"]
        assert view["asked"] == motion["view"]["asked"]
        assert view["taken"] == motion["view"]["taken"]
        params = MotionParams.from_dict(motion)
        assert params.view is not None
        assert view["replaced"] == params.view.replaced
        assert view["asked"][0] in (-20, 0, 20)
        assert view["asked"][1] in (0, 10)
        expected = {name: value * params.strength for name, value in EXPRESSIONS[view["expression"]].items()}
        assert view["values"] == pytest.approx(expected, abs=1e-5)
    assert {row["view"]["expression"] for row in rows} == {"neutral", "smile"}


def test_the_reached_pose_is_that_of_the_written_picture(made: Path, face_model: Animator) -> None:
    for row in rows_of(made):
        if row["file"].endswith(".png"):
            pixels = np.asarray(Image.open(made / row["file"]).convert("RGB"))
            found = head_pose(face_model.detect(torch.tensor(pixels).permute(2, 0, 1)[None] / 255), face_model)
            assert row["view"]["reached"] == pytest.approx(found[0].tolist(), abs=0.1)


def test_a_row_replays(made: Path, face_model: Animator, faces: Path) -> None:
    row = next(row for row in rows_of(made) if row["file"].endswith(".png"))
    source = torch.tensor(np.asarray(Image.open(faces / row["source"]).convert("RGB"))).permute(2, 0, 1)[None]
    augment = MotionAugment(load_pool(plan(ANGLES), face_model), face_model)
    result = augment.apply(source, [MotionParams.from_dict(row["motion"])])
    written = np.asarray(Image.open(made / row["file"]).convert("RGB")).astype(int)
    assert np.abs(result.image[0].permute(1, 2, 0).numpy().astype(int) - written).max() <= 1


def plan(views: str | None, driving: str = "views") -> ExpandPlan:
    return ExpandPlan("in", "out", driving=driving, views=views)


def test_the_angles_are_those_of_the_pool(face_model: Animator) -> None:
    made = DrivingPool.views(face_model, yaw=(-20, 0, 20), pitch=(0, 10), expressions=("neutral", "smile"))
    assert load_pool(plan(ANGLES), face_model).hash == made.hash
    assert load_pool(plan(None), face_model).hash == DrivingPool.views(face_model).hash


def test_angles_belong_to_views_only() -> None:
    with pytest.raises(ArgumentError, match="views are the angles of driving='views', but driving is 'builtin'"):
        plan("yaw=0", driving="builtin")


def test_copies_of_clips_have_no_view(face_model: Animator, faces: Path, tmp_path: Path) -> None:
    expand(faces, tmp_path / "out", driving="gestures", copies=1, model=face_model, gates="off")
    assert all("view" not in row and row["motion"]["view"] is None for row in rows_of(tmp_path / "out"))
