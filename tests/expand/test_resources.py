from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomaug import Animator, DrivingPool
from fomaug.driving.crop import FaceCrop, FaceSearch
from fomaug.errors import ArgumentError, FomaugError, LabelError, PoolError, ResumeError
from fomaug.expand import ExpandPlan, expand, parse_weights
from fomaug.expand.manifest import read_rows
from fomaug.expand.resources import load_pool
from fomaug.media import open_video


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


def test_a_clip_without_a_face_is_left_out_again_when_a_job_is_resumed(
    tiny_model: Animator, faces: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(frames: Iterable[np.ndarray], *_: object) -> FaceSearch:
        found = [number for number, frame in enumerate(frames) if frame.max() > 64]
        return FaceSearch(FaceCrop(None, len(found), 4), dict.fromkeys(found, True) or {0: False})

    monkeypatch.setattr("fomaug.driving.build.search_face", search)
    monkeypatch.setattr("fomaug.driving.build.is_steady", lambda *_: False)
    (clips / "bad.mp4").unlink()
    with open_video(clips / "black.mp4", 10) as video:
        video.write(np.zeros((32, 32, 3), np.uint8))
    options = {"driving": clips, "model": tiny_model, "copies": 1, "gates": "off"}
    report = expand(faces, tmp_path / "out", **options)
    assert [failure.source for failure in report.skipped_clips] == ["black"]
    assert "no face was found" in report.skipped_clips[0].reason
    (tmp_path / "out" / "anna" / "1_m000.png").unlink()
    again = expand(faces, tmp_path / "out", resume=True, **options)
    assert (again.new, again.skipped_clips) == (1, report.skipped_clips)


def test_notes_on_a_clip_become_warnings(tiny_model: Animator, faces: Path, clips: Path, tmp_path: Path) -> None:
    (clips / "long").mkdir()
    for number in range(2):
        Image.new("RGB", (32, 32), (90 * number, 0, 50)).save(clips / "long" / f"{number}.png")
    (clips / "long" / "2.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match=r"driving clip long: 2\.png is left out"):
        expand(faces, tmp_path / "out", driving=clips, model=tiny_model, copies=1, clip_crop="frame", gates="off")


def test_changed_clips_are_detected(tiny_model: Animator, faces: Path, clips: Path, tmp_path: Path) -> None:
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


def test_changed_labels_of_clips_are_detected(tiny_model: Animator, faces: Path, clips: Path, tmp_path: Path) -> None:
    (clips / "bad.mp4").unlink()
    table = tmp_path / "labels.csv"
    table.write_text("clip,label\none,glad\ntwo,sad\n")
    options = {"driving": clips, "model": tiny_model, "copies": 1, "labels": "from_clip", "gates": "off"}
    expand(faces, tmp_path / "out", clip_labels=str(table), **options)
    table = table.rename(tmp_path / "moved.csv")
    assert expand(faces, tmp_path / "out", clip_labels=str(table), resume=True, **options).new == 0
    table.write_text("clip,label\none,sad\ntwo,glad\n")
    with pytest.raises(ResumeError, match="clip_labels: was "):
        expand(faces, tmp_path / "out", clip_labels=str(table), resume=True, **options)
    table.unlink()
    with pytest.raises(LabelError, match=r"moved\.csv"):
        expand(faces, tmp_path / "out", clip_labels=str(table), resume=True, **options)


def test_changed_folders_of_clips_are_detected(tiny_model: Animator, faces: Path, clips: Path, tmp_path: Path) -> None:
    (clips / "bad.mp4").unlink()
    (clips / "glad").mkdir()
    (clips / "one.mp4").rename(clips / "glad" / "one.mp4")
    options = {"driving": clips, "model": tiny_model, "copies": 1, "labels": "from_clip", "gates": "off"}
    expand(faces, tmp_path / "out", clip_labels="folders", **options)
    assert expand(faces, tmp_path / "out", clip_labels="folders", resume=True, **options).new == 0
    (clips / "glad").rename(clips / "sad")
    with pytest.raises(ResumeError, match="clip_labels: was "):
        expand(faces, tmp_path / "out", clip_labels="folders", resume=True, **options)


@pytest.mark.parametrize(
    ("driving", "message"),
    [("bultin", "did you mean 'builtin'"), ("nowhere.safetensors", "nowhere"), ("builtin", "tiny")],
)
def test_invalid_driving_is_named(
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
def test_clips_of_weight_zero_are_not_used(
    tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path, selection: str
) -> None:
    options = {"driving": tiny_pool, "model": tiny_model, "copies": 4, "gates": "off", "selection": selection}
    report = expand(faces, tmp_path / "out", clip_weights={"nod": 0, "smile": 0}, **options)
    assert {row["motion"]["clip"] for row in read_rows(report.out / "manifest.jsonl")} == {"shake"}
    with pytest.raises(ResumeError, match="clip_weights"):
        expand(faces, tmp_path / "out", clip_weights={"nod": 1}, resume=True, **options)


@pytest.mark.parametrize("text", ["nod", "nod=much", "=2"])
def test_invalid_weights_are_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="CLIP=WEIGHT"):
        parse_weights(text)


def test_labels_of_a_table_are_given_to_the_tracks_of_any_pool(
    tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path
) -> None:
    tiny_pool.save(tmp_path / "pool.safetensors")
    table = tmp_path / "labels.csv"
    table.write_text("clip,label\nnod,yes\nshake,no\n")
    options = {"model": tiny_model, "copies": 4, "gates": "off", "labels": "from_clip", "clip_labels": str(table)}
    for name, driving in (("file", tmp_path / "pool.safetensors"), ("object", tiny_pool)):
        report = expand(faces, tmp_path / name, driving=driving, **options)
        assert {label for label, _ in report.labels} <= {"yes", "no", "smile"}, "smile keeps the label that it has"
        for row in read_rows(report.out / "manifest.jsonl"):
            assert row["label"] == {"nod": "yes", "shake": "no"}.get(row["motion"]["clip"], "smile")
    table.write_text("clip,label\nnod,yes\nshake,never\n")
    with pytest.raises(ResumeError, match="clip_labels: was "):
        expand(faces, tmp_path / "file", driving=tmp_path / "pool.safetensors", resume=True, **options)
    table.write_text("clip,label\nnodd,yes\n")
    with pytest.raises(LabelError, match="did you mean 'nod'"):
        expand(faces, tmp_path / "new", driving=tiny_pool, **options)


def test_folders_name_labels_of_clips_only(
    tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path
) -> None:
    with pytest.raises(ArgumentError, match="clip_labels='folders' needs driving to be a folder of clips"):
        expand(faces, tmp_path / "out", driving=tiny_pool, model=tiny_model, clip_labels="folders")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["pool.st", "pool"])
def test_a_pool_file_is_known_by_its_content(
    tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path, name: str
) -> None:
    tiny_pool.save(tmp_path / name)
    report = expand(faces, tmp_path / "out", driving=tmp_path / name, model=tiny_model, copies=1, gates="off")
    assert report.written == 5
    assert not (report.out / "driving.safetensors").exists(), "only the motion of clips is kept"


def test_a_frame_that_some_tracks_have_is_a_reference(
    tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path
) -> None:
    longest = max(map(len, tiny_pool))
    options = {"driving": tiny_pool, "model": tiny_model, "copies": 1, "gates": "off"}
    assert expand(faces, tmp_path / "last", reference=longest - 1, **options).written == 5
    with pytest.raises(ArgumentError, match=f"reference {longest} is a frame of no clip: the longest has {longest}"):
        expand(faces, tmp_path / "out", reference=longest, **options)
    assert not (tmp_path / "out").exists()


def test_a_plan_names_a_parametric_pool_with_ranges(face_model) -> None:
    plan = ExpandPlan("faces", "out", driving="parametric yaw=-5:5 count=6")
    made = DrivingPool.parametric(face_model, yaw_range=(-5, 5), count=6)
    assert load_pool(plan, face_model).hash == made.hash


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"driving": "views", "views": "yaw=5:1:2"}, "'yaw=5:1:2' is neither NAME=LOW:HIGH:STEP nor"),
        ({"driving": "views", "views": "yaw=200"}, "yaw must be angles from -70 to 70 degrees"),
        ({"driving": "bultin"}, "there is no 'bultin'; did you mean 'builtin'?"),
        ({"driving": "atuo"}, "there is no 'atuo'; did you mean 'auto'?"),
        ({"driving": "views zz"}, "there is no 'views zz'; the words after views must be NAME=VALUE, such as"),
        ({"driving": "empty"}, "there is no clip in empty"),
        ({"driving": "clips", "clip_labels": "labels.csv"}, "'three', but there is no such clip"),
        ({"driving": "clips", "clip_labels": "gone.csv"}, "cannot read the labels in gone.csv"),
        ({"driving": "clips", "model": "nowhere"}, "no model named 'nowhere'"),
        ({"model": "nowhere"}, "no model named 'nowhere'"),
        ({"clip_labels": "gone.csv"}, "cannot read the labels in gone.csv"),
        ({"annotations": "gone.json"}, "there are no annotations at gone.json"),
        ({"annotation_format": "coco"}, "annotation_format is 'coco', but there are no annotations"),
        ({"device": "cuda:99"}, "device 'cuda:99' cannot be used here"),
        ({"out": "clips"}, "clips is not empty; give a new folder"),
    ],
)
def test_a_dry_run_refuses_what_the_job_would_refuse_at_once(
    faces: Path, clips: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], message: str, dry_run: bool
) -> None:
    monkeypatch.chdir(clips.parent)
    Path("empty").mkdir()
    Path("labels.csv").write_text("clip,label\nthree,nod\n")
    with pytest.raises(FomaugError, match=message):
        expand(faces, **{"out": "out", **options}, dry_run=dry_run)
    assert not list(Path().glob("out/*"))


def test_a_dry_run_lists_clips_and_does_not_read_them(
    tiny_model: Animator, faces: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DrivingPool, "from_clips", lambda *_, **__: pytest.fail("clips were read"))
    report = expand(faces, tmp_path / "out", driving=clips, model=tiny_model, copies=2, dry_run=True)
    assert report.planned == 10
    assert not (tmp_path / "out").exists()
    with pytest.raises(ResumeError, match="clips is not empty; give a new folder"):
        expand(faces, clips, driving=clips, model=tiny_model, copies=2, dry_run=True)


def test_a_dry_run_compares_the_settings_of_a_resumed_job(
    tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path
) -> None:
    options = {"driving": tiny_pool, "model": tiny_model, "copies": 1, "gates": "off"}
    expand(faces, tmp_path / "out", **options, prepare=True)
    assert expand(faces, tmp_path / "out", **options, resume=True, dry_run=True).planned == 5
    with pytest.raises(ResumeError, match="seed: was 0, is 1"):
        expand(faces, tmp_path / "out", **options, resume=True, dry_run=True, seed=1)
