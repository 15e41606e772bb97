"""Warnings about training pictures that show no face, and about rejected copies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fomaug
from fomaug import MotionAugment
from fomaug.study import StudyPlan, faces
from fomaug.study.arms import Arm
from fomaug.study.data import load_data
from fomaug.study.design import make_splits
from fomaug.study.faces import FaceCheck, check_faces, warnings_of

EXAMPLES = Path(__file__).parents[2] / "examples" / "faces"


def test_warnings_have_count_and_share() -> None:
    assert not list(warnings_of(FaceCheck(50, 10), {"copies": (100.0, 100.0), "none": (0.0, 0.0)}))
    found = list(warnings_of(FaceCheck(50, 11), {"copies": (30.0, 170.0)}))
    assert found[0].startswith("no face was found in 11 of 50 examined training pictures (22 %)")
    assert found[1] == (
        "the gates rejected 170 of 200 copies of a choice (85 %) in arm copies, which therefore trains with few copies"
    )
    assert not list(warnings_of(None, {}))


def test_faces_are_told_from_other_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    people = sorted(path for path in EXAMPLES.iterdir() if path.is_dir())[:3]
    for person in people:
        picture = Image.open(next(person.iterdir())).convert("RGB")
        noise = Image.fromarray(rng.integers(0, 255, (7, 7, 3), np.uint8)).resize((120, 120))
        for kind, image in (("faces", picture), ("noise", noise)):
            (tmp_path / kind / person.name).mkdir(parents=True)
            for number in range(2):
                image.save(tmp_path / kind / person.name / f"{number}.png")
    model = fomaug.load_model(device="cpu")
    arm = Arm("copies", MotionAugment("builtin", model))
    for kind, without in (("faces", 0), ("noise", 3)):
        plan = StudyPlan(size=16, choices=2)
        data = load_data(tmp_path / kind, plan, features=False)
        check = check_faces(data, make_splits(data, plan)[:1], [Arm("classic"), arm])
        assert check == FaceCheck(3, without)


def test_models_without_points_of_the_face_examine_nothing(
    tmp_path: Path, write_classes: Callable[..., Path], still: MotionAugment
) -> None:
    plan = StudyPlan(size=16)
    data = load_data(write_classes(tmp_path), plan, features=False)
    assert check_faces(data, make_splits(data, plan), [Arm("copies", still)]) is None


def test_a_study_of_other_pictures_warns_everywhere_and_keeps_its_numbers(
    tmp_path: Path,
    write_classes: Callable[..., Path],
    still: MotionAugment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {"choices": 2, "seeds": 1, "steps": 2, "batch_size": 8, "copies": 1, "size": 16, "gates": "off"}
    data, said = write_classes(tmp_path / "data"), list[str]()
    plain = fomaug.study(data, tmp_path / "plain", arms={"copies": still}, **options)
    assert plain.faces is None
    monkeypatch.setattr(faces, "is_face_model", lambda _: True)
    monkeypatch.setattr(faces, "_shows_face", lambda *_: False)
    result = fomaug.study(data, tmp_path / "out", arms={"copies": still}, announce=said.append, **options)
    assert said[0].startswith("warning: no face was found in")
    assert result.arms == plain.arms and result.verdict == plain.verdict
    assert result.faces is not None and result.faces["without_face"] == result.faces["checked"] >= 4
    warning = said[0].removeprefix("warning: ")
    assert f"note: {warning}" in (tmp_path / "out" / "study.txt").read_text()
    assert json.loads((tmp_path / "out" / "study.json").read_text())["notes"][0] == warning
