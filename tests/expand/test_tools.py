from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fomaug import Animator, DrivingPool
from fomaug._errors import ArgumentError, LabelError, PoolError, ResumeError
from fomaug.expand import expand, parse_weights
from fomaug.expand._ledger import read_rows
from fomaug.writers import open_video


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    (tmp_path / "clips").mkdir()
    for number, name in enumerate(("one", "two")):
        rows, columns = np.mgrid[:32, :32]
        with open_video(tmp_path / "clips" / f"{name}.mp4", 10) as video:
            for i in range(4):
                video.write(np.stack([rows * 8, (columns * 7 + 20 * i) % 256, rows * number], -1).astype(np.uint8))
    (tmp_path / "clips" / "bad.mp4").write_bytes(b"no clip")
    return tmp_path / "clips"


def test_clips_become_a_pool_that_is_kept_for_resume(
    tiny_model: Animator, faces: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"driving": clips, "model": tiny_model, "copies": 2, "clip_crop": "frame", "gates": "off"}
    report = expand(faces, tmp_path / "out", **options)
    assert [failure.source for failure in report.skipped_clips] == ["bad"]
    assert not report.complete
    assert set(DrivingPool.load(tmp_path / "out" / "driving.safetensors").names) == {"one", "two"}

    monkeypatch.setattr(DrivingPool, "from_clips", None)  # resumed, no clip is read for its motion
    (tmp_path / "out" / "anna" / "1_m000.png").unlink()
    again = expand(faces, tmp_path / "out", resume=True, **options)
    assert (again.new, again.skipped_clips) == (1, report.skipped_clips)


def test_other_clips_are_noticed(tiny_model: Animator, faces: Path, clips: Path, tmp_path: Path) -> None:
    options = {"driving": clips, "model": tiny_model, "copies": 1, "clip_crop": "frame", "gates": "off"}
    expand(faces, tmp_path / "out", **options)
    (clips / "two.mp4").unlink()
    with pytest.raises(ResumeError, match=r"pool\.tracks: was 2, is 1"):
        expand(faces, tmp_path / "out", resume=True, **options)


def test_labels_of_clips_can_come_from_a_table(tiny_model: Animator, faces: Path, clips: Path, tmp_path: Path) -> None:
    (clips / "bad.mp4").unlink()
    options = {"driving": clips, "model": tiny_model, "copies": 2, "labels": "from_clip", "gates": "off"}
    with pytest.raises(LabelError, match="2 of 2 driving clips have no label"):
        expand(faces, tmp_path / "out", **options)
    (tmp_path / "labels.csv").write_text("clip,label\none,glad\ntwo,sad\n")
    report = expand(faces, tmp_path / "out", clip_labels=str(tmp_path / "labels.csv"), **options)
    assert {label for label, _ in report.labels} <= {"glad", "sad"}


@pytest.mark.parametrize(
    ("driving", "message"),
    [("bultin", "did you mean 'builtin'"), ("nowhere.safetensors", "nowhere"), ("builtin", "tiny")],
)
def test_driving_that_cannot_be_is_named(
    tiny_model: Animator, faces: Path, tmp_path: Path, driving: str, message: str
) -> None:
    with pytest.raises(PoolError, match=message):
        expand(faces, tmp_path / "out", driving=driving, model=tiny_model)
    assert not (tmp_path / "out").exists()


def test_a_pool_of_another_model_is_refused(
    tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path
) -> None:
    other: Callable[..., DrivingPool] = DrivingPool
    pool = other(tiny_pool.tracks, "other", "0" * 64)
    with pytest.raises(PoolError, match="was made by model 'other'"):
        expand(faces, tmp_path / "out", driving=pool, model=tiny_model)


@pytest.mark.parametrize("selection", ["diverse", "uniform", "sequence"])
def test_clips_of_weight_zero_drive_nothing(
    tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path, selection: str
) -> None:
    options = {"driving": tiny_pool, "model": tiny_model, "copies": 4, "gates": "off", "selection": selection}
    report = expand(faces, tmp_path / "out", clip_weights={"nod": 0, "smile": 0}, **options)
    assert {row["motion"]["clip"] for row in read_rows(report.out / "manifest.jsonl")} == {"shake"}
    with pytest.raises(ResumeError, match="clip_weights"):
        expand(faces, tmp_path / "out", clip_weights={"nod": 1}, resume=True, **options)


@pytest.mark.parametrize("text", ["nod", "nod=much", "=2"])
def test_weights_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="CLIP=WEIGHT"):
        parse_weights(text)
