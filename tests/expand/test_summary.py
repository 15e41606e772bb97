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
    with pytest.raises(ResumeError, match="is not an expanded dataset"):
        summarise(tmp_path)
    with pytest.raises(ResumeError, match=r"missing does not exist, so it holds no expand\.json"):
        summarise(tmp_path / "missing")
    (tmp_path / "expand.json").write_text("[")
    with pytest.raises(ResumeError, match="is damaged"):
        summarise(tmp_path)


ROW = {
    "source": "a/1.png",
    "copy": 0,
    "file": "a/1_m000.png",
    "bytes": 3,
    "label": "a",
    "split": None,
    "size": [48, 48],
    "source_hash": "0",
    "motion": {"skipped": False, "clip": "nod", "clip_hash": "1", "driver": "", "strength": 0.5},
}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"source": "caf\xe9"}', "can't decode"),
        (b"[1]", "must be a JSON object"),
        (b"3", "must be a JSON object"),
        (b"[" * 100_000, "nested too deeply"),
        (json.dumps({**ROW, "copy": [1]}).encode(), "copy must be int, got"),
        (json.dumps({**ROW, "source": {}}).encode(), "source must be str, got"),
        (json.dumps({**ROW, "bytes": "3"}).encode(), "bytes must be int, got"),
        (json.dumps({**ROW, "label": ["a"]}).encode(), "label must be str or NoneType, got"),
        (json.dumps({**ROW, "scores": 3}).encode(), "scores must be dict, got"),
        (json.dumps({**ROW, "motion": None}).encode(), "motion must be dict, got"),
        (json.dumps({**ROW, "motion": {**ROW["motion"], "others": [3]}}).encode(), "a motion must be a JSON object"),
        (json.dumps({**ROW, "motion": {**ROW["motion"], "others": 3}}).encode(), "others must be a list"),
        (json.dumps({**ROW, "motion": {"skipped": False}}).encode(), "'clip' is missing"),
        (json.dumps({**ROW, "motion": {**ROW["motion"], "strength": "x"}}).encode(), "strength must be int or float"),
        (json.dumps({**ROW, "flaws": [["a"]]}).encode(), "flaws must be pairs of texts"),
        (json.dumps({name: value for name, value in ROW.items() if name != "split"}).encode(), "'split' is missing"),
    ],
)
def test_odd_rows_are_named_with_their_line(tmp_path: Path, line: bytes, message: str) -> None:
    (tmp_path / "expand.json").write_text('{"fomaug": "0"}')
    (tmp_path / "manifest.jsonl").write_bytes(json.dumps(ROW).encode() + b"\n" + line + b"\n")
    with pytest.raises(ResumeError, match=rf"manifest\.jsonl, line 2 is damaged .*{message}"):
        summarise(tmp_path)


def test_odd_rows_of_rejected_copies_and_odd_summaries_cause_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "expand.json").write_text('{"fomaug": "0", "failed": 3, "flawed": "x", "model": []}')
    (tmp_path / "manifest.jsonl").write_text(json.dumps(ROW) + "\n")
    found = summarise(tmp_path)
    assert (found.copies, found.failed, found.flawed, found.model) == (1, 0, 0, "")
    (tmp_path / "rejected.jsonl").write_text('{"source": "a", "copy": 1, "reasons": [[]]}\n')
    with pytest.raises(ResumeError, match=r"rejected\.jsonl, line 1 is damaged .*reasons must be texts"):
        summarise(tmp_path)
    (tmp_path / "expand.json").write_bytes(b'{"fomaug": "\xff"}')
    with pytest.raises(ResumeError, match=r"is damaged: .*not in UTF-8"):
        summarise(tmp_path)
