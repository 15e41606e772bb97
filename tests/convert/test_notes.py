"""Notes and lists agree with what a conversion writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fomaug import Animator, DrivingPool
from fomaug.convert import convert
from fomaug.convert.formats import find_converter
from fomaug.convert.plan import ConvertPlan
from fomaug.convert.survey import BOXES, CLASSES, FIELDS, SEVERAL, Survey
from fomaug.expand import expand
from fomaug.media import save_image


@pytest.mark.parametrize("format", ["yolo", "voc"])
def test_notes_do_not_deny_annotated_categories(labelled: Callable[..., Any], tmp_path: Path, format: str) -> None:
    notes: list[str] = []
    convert(labelled().out, tmp_path / "dest", to=format, on_note=notes.append)
    assert not any("every object" in note for note in notes)
    assert any("categories=label" in note for note in notes)


def test_names_of_fields_follow_their_kind() -> None:
    found = Survey(kinds={CLASSES, BOXES, FIELDS, SEVERAL}, fields={"age": False})
    assert "folder cannot store boxes, other fields (age), several faces in a picture; they are left out" in (
        find_converter("folder").check(found, ConvertPlan("folder"))
    )


def test_yolo_names_only_splits_with_pictures(tmp_path: Path, tiny_model: Animator, tiny_pool: DrivingPool) -> None:
    for split in ("train", "val"):
        save_image(tmp_path / f"set/{split}/anna/1.png", np.full((48, 48, 3), 90, np.uint8))
    (tmp_path / "points.csv").write_text("file,x0,y0,x1,y1\ntrain/anna/1.png,10,10,30,30\n")
    options: dict[str, Any] = {"gates": "off", "copies": 1, "annotations": str(tmp_path / "points.csv")}
    expand(tmp_path / "set", tmp_path / "out", driving=tiny_pool, model=tiny_model, **options)
    notes: list[str] = []
    convert(tmp_path / "out", tmp_path / "dest", to="yolo", on_note=notes.append)
    content = yaml.safe_load((tmp_path / "dest/data.yaml").read_text())
    assert (content["train"], content["val"]) == ("images/train", "images/train")
    assert any("no validation split" in note for note in notes)
