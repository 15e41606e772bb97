from __future__ import annotations

import json
from pathlib import Path

import pytest

from fomaug import Animator, DrivingPool
from fomaug.errors import ResumeError
from fomaug.expand import expand, summarise


def test_a_summary_counts_what_the_manifest_says(
    tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path
) -> None:
    (faces / "ben" / "bad.png").write_bytes(b"x")
    report = expand(faces, tmp_path / "out", driving=tiny_pool, model=tiny_model, copies=4, gates="off")
    rows = [json.loads(line) for line in (report.out / "manifest.jsonl").read_text().splitlines()]
    found = summarise(report.out)
    assert (found.sources, found.copies, found.failed, found.state) == (5, 20, 1, "done")
    assert found.labels == {"anna": 8, "ben": 8, "carla": 4}
    assert sum(found.clips.values()) == 20
    assert found.bytes == sum(row["bytes"] for row in rows)
    strengths = [row["motion"]["strength"] for row in rows]
    assert found.strength is not None
    assert found.strength.mean == pytest.approx(sum(strengths) / 20)
    assert (found.strength.least, found.strength.most) == (min(strengths), max(strengths))
    assert found.contact_sheet == report.contact_sheet


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="is no expanded dataset"):
        summarise(tmp_path)
    (tmp_path / "expand.json").write_text("[")
    with pytest.raises(ResumeError, match="is damaged"):
        summarise(tmp_path)
