from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fomaug import Animator, DrivingPool, MotionAugment, MotionParams
from fomaug.errors import ArgumentError, LabelError, MediaError, ResumeError
from fomaug.expand import ExpandReport, expand, summarise
from fomaug.expand.copies import move
from fomaug.expand.manifest import read_rows
from fomaug.faces import Square, face_square
from fomaug.media import read_mark, read_picture, save_image


@pytest.fixture
def run(tiny_model: Animator, tiny_pool: DrivingPool, tmp_path: Path, face: Callable[..., np.ndarray]):
    for i in range(2):
        save_image(tmp_path / "big" / f"{i}.png", face(i, 120, 160))

    def call(out: str = "out", **options: object) -> ExpandReport:
        options = {"copies": 2, "gates": "off", "faces": "detect", **options}
        return expand(tmp_path / "big", tmp_path / out, driving=tiny_pool, model=tiny_model, **options)

    return call


def motions_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [row["motion"], *row["motion"]["others"]]


def replayed(path: Path, row: dict[str, Any], augment: MotionAugment) -> np.ndarray:
    image = torch.from_numpy(read_picture(path).pixels.copy()).permute(2, 0, 1)[None]
    moved = augment.apply(image, [MotionParams.from_dict(row["motion"])]).image
    return moved[0].permute(1, 2, 0).numpy()


BOXES = [[20.0, 30.0, 60.0, 70.0], [100.0, 40.0, 140.0, 80.0]]


def test_every_face_of_a_picture_moves_and_the_rest_does_not(
    run: Callable[..., ExpandReport], tmp_path: Path, tiny_model: Animator, tiny_pool: DrivingPool
) -> None:
    report = run(detector=lambda image: BOXES)
    assert report.written == 4
    for row in read_rows(report.out / "manifest.jsonl"):
        squares = [Square(*motion["box"]) for motion in motions_of(row)]
        assert squares == [face_square(box, (120, 160)) for box in BOXES]
        before, after = (
            read_picture(path).pixels for path in (tmp_path / "big" / row["source"], report.out / row["file"])
        )
        for square in squares:
            rows, columns = slice(square.top, square.bottom), slice(square.left, square.right)
            assert (before[rows, columns] != after[rows, columns]).any()
        assert (before[100:] == after[100:]).all()
        assert read_mark(report.out / row["file"]).source_type == "compositeWithTrainedAlgorithmicMedia"


def test_a_face_in_a_picture_is_the_face_cut_out(
    run: Callable[..., ExpandReport], tmp_path: Path, tiny_model: Animator, tiny_pool: DrivingPool
) -> None:
    row = next(iter(read_rows(run(detector=lambda image: BOXES[:1]).out / "manifest.jsonl")))
    square = Square(*row["motion"]["box"])
    part = square.cut_picture(read_picture(tmp_path / "big" / row["source"]))
    params = MotionParams.from_dict({**row["motion"], "box": None})
    alone = move(MotionAugment(tiny_pool, tiny_model), [part], [[params]], batch_size=1)[0][0]
    whole = read_picture(tmp_path / "out" / row["file"]).pixels
    height, width = part.size
    middle = (slice(height // 4, height // 2), slice(width // 4, width // 2))
    inside = whole[square.top : square.bottom, square.left : square.right][middle].astype(int)
    assert np.abs(inside - alone.picture.pixels[middle]).max() <= 1


def test_every_face_has_a_draw_of_its_own_and_its_row_replays_them(
    run: Callable[..., ExpandReport], tmp_path: Path, tiny_model: Animator, tiny_pool: DrivingPool
) -> None:
    augment = MotionAugment(tiny_pool, tiny_model, p=1.0)
    apart = 0
    for row in read_rows(run(detector=lambda image: BOXES, copies=3).out / "manifest.jsonl"):
        first, second = motions_of(row)
        drawn = [augment.draw([row["source"]], copies=3, face=face)[row["copy"]] for face in range(2)]
        for motion, param in zip((first, second), drawn, strict=True):
            assert (motion["clip"], motion["frame"], motion["strength"]) == (param.clip, param.frame, param.strength)
        assert first["strength"] != second["strength"]
        apart += (first["clip"], first["frame"]) != (second["clip"], second["frame"])
        written = read_picture(tmp_path / "out" / row["file"]).pixels
        np.testing.assert_array_equal(replayed(tmp_path / "big" / row["source"], row, augment), written)
    assert apart, "the frames, too, are drawn apart"


def test_faces_share_a_draw_if_the_label_comes_from_the_clip(run: Callable[..., ExpandReport]) -> None:
    report = run(detector=lambda image: BOXES, labels="from_clip")
    for row in read_rows(report.out / "manifest.jsonl"):
        assert {motion["label"] for motion in motions_of(row)} == {row["label"]}


def test_a_job_with_several_faces_resumes_to_the_same_bytes(
    run: Callable[..., ExpandReport], tmp_path: Path, contents: Callable[[Path], dict[str, bytes]]
) -> None:
    wanted = contents(run(detector=lambda image: BOXES).out)
    manifest = tmp_path / "out" / "manifest.jsonl"
    manifest.write_text("".join(f"{line}\n" for line in manifest.read_text().splitlines()[:-2]))
    (tmp_path / "out" / "1_m000.png").unlink()
    run(detector=lambda image: BOXES, resume=True)
    found = contents(tmp_path / "out")
    assert found.pop("expand.json") != b""
    wanted.pop("expand.json")
    assert found == wanted


def test_a_folder_with_an_old_manifest_is_not_resumed(run: Callable[..., ExpandReport], tmp_path: Path) -> None:
    out = run(detector=lambda image: BOXES).out
    summary = json.loads((out / "expand.json").read_text())
    del summary["manifest"]
    (out / "expand.json").write_text(json.dumps(summary))
    with pytest.raises(ResumeError, match="version 1 of the output layout, and this fomaug writes version 4"):
        run(detector=lambda image: BOXES, resume=True)


@pytest.mark.parametrize(("on_missing", "written", "rejected", "failed"), [("skip", 0, 0, 2), ("copy", 2, 2, 0)])
def test_pictures_without_a_face_follow_the_policy(
    run: Callable[..., ExpandReport], tmp_path: Path, on_missing: str, written: int, rejected: int, failed: int
) -> None:
    report = run(detector=lambda image: [], on_missing=on_missing)
    assert (report.written, report.rejected, len(report.failed)) == (written, rejected, failed)
    for row in read_rows(report.out / "manifest.jsonl"):
        assert row["motion"]["skipped"]
        before, after = (
            read_picture(path).pixels for path in (tmp_path / "big" / row["source"], report.out / row["file"])
        )
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("suffix", ["png", "bmp"])
@pytest.mark.parametrize("labels", ["keep", "from_clip", {"*": "fake"}])
def test_an_unchanged_picture_has_no_mark_and_its_own_label(
    run: Callable[..., ExpandReport], tmp_path: Path, face: Callable[..., np.ndarray], labels: object, suffix: str
) -> None:
    (tmp_path / "big" / "0.png").unlink()
    (tmp_path / "big" / "1.png").unlink()
    for i, name in enumerate(("anna", "nobody")):
        (tmp_path / "big" / name).mkdir()
        Image.fromarray(face(i, 120, 160)).save(tmp_path / "big" / name / f"{name}.{suffix}")
    nobody = face(1, 120, 160)
    options = {
        "detector": lambda image: [] if (image == nobody).all() else BOXES[:1],
        "on_missing": "copy",
        "labels": labels,
        "copies": 1,
    }
    report = run(**options)
    moved, still = read_rows(report.out / "manifest.jsonl")
    assert (moved["motion"]["skipped"], still["motion"]["skipped"]) == (False, True)
    assert read_mark(report.out / moved["file"]).source_type == "compositeWithTrainedAlgorithmicMedia"
    assert not read_mark(report.out / still["file"]).properties
    assert (still["label"], still["file"]) == ("nobody", f"nobody/nobody_m000.{suffix}")
    assert moved["label"] != "nobody"
    assert run(resume=True, **options).new == 0


def test_an_unchanged_picture_has_no_label_if_labels_are_dropped(
    run: Callable[..., ExpandReport], tmp_path: Path
) -> None:
    (tmp_path / "big").rename(tmp_path / "nobody")
    (tmp_path / "big").mkdir()
    (tmp_path / "nobody").rename(tmp_path / "big" / "nobody")
    report = run(detector=lambda image: [], on_missing="copy", labels="drop")
    assert [row["file"] for row in read_rows(report.out / "manifest.jsonl")] == ["0_m000.png", "1_m000.png"]


def test_a_contact_sheet_of_unchanged_pictures_has_no_mark(run: Callable[..., ExpandReport]) -> None:
    report = run(detector=lambda image: [], on_missing="copy")
    assert report.contact_sheet is not None
    assert not read_mark(report.contact_sheet).properties


def test_unchanged_pictures_have_a_class_in_archives(run: Callable[..., ExpandReport], tmp_path: Path) -> None:
    (tmp_path / "big").rename(tmp_path / "nobody")
    (tmp_path / "big").mkdir()
    (tmp_path / "nobody").rename(tmp_path / "big" / "nobody")
    out = run(detector=lambda image: [], on_missing="copy", labels={"*": "fake"}, format="webdataset").out
    with tarfile.open(out / "train-00000.tar") as archive:
        member = archive.extractfile("nobody/0_m000.cls")
        assert member is not None
        assert member.read() == b"1", "after fake, by the alphabet"


def test_an_unchanged_picture_has_no_driver(run: Callable[..., ExpandReport]) -> None:
    out = run(detector=lambda image: [], on_missing="copy").out
    assert (summarise(out).copies, summarise(out).clips, summarise(out).strength) == (2, {}, None)


def test_a_missing_face_can_stop_the_job(run: Callable[..., ExpandReport]) -> None:
    with pytest.raises(MediaError, match=r"0\.png: has no face"):
        run(detector=lambda image: [], on_missing="error")


def test_boxes_come_from_the_annotations(run: Callable[..., ExpandReport], tmp_path: Path) -> None:
    lines = [{"file_name": f"{i}.png", "objects": {"bbox": [[20, 30, 40, 40]]}} for i in range(1)]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = run(faces="boxes", annotations=str(tmp_path / "metadata.jsonl"))
    assert (report.written, [failure.source for failure in report.failed]) == (2, ["1.png"])
    moved = [json.loads(line) for line in (report.out / "metadata.jsonl").read_text().splitlines()]
    assert [line["file_name"] for line in moved] == ["0_m000.png", "0_m001.png"]
    with pytest.raises(ArgumentError, match="give annotations, or use faces='detect'"):
        run("b", faces="boxes")
    (tmp_path / "points.csv").write_text("file,x0,y0\n0.png,30,40\n")
    with pytest.raises(LabelError, match=r"faces='boxes' needs boxes, but \S+points.csv has none; use faces='detect'"):
        run("b", faces="boxes", annotations=str(tmp_path / "points.csv"))
    assert not (tmp_path / "b").exists()


def test_models_without_known_face_points_cannot_detect_faces(run: Callable[..., ExpandReport], tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="keypoints of model 'tiny' are not known points"):
        run()
    assert not (tmp_path / "out").exists()


def test_the_shipped_model_finds_a_face_in_a_larger_picture(tmp_path: Path) -> None:
    face = read_picture(Path(__file__).parents[2] / "examples/faces/mona_lisa/leonardo.jpg").pixels[::2, ::2]
    wall = np.full((400, 600, 3), 128, np.uint8)
    height, width = face.shape[:2]
    wall[100 : 100 + height, 250 : 250 + width] = face
    save_image(tmp_path / "wall" / "1.png", wall)
    report = expand(tmp_path / "wall", tmp_path / "out", copies=2, faces="detect", gates="off", device="cpu")
    for row in read_rows(report.out / "manifest.jsonl"):
        (found,) = motions_of(row)
        left, top, right, bottom = found["box"]
        assert left < 250 + width / 2 < right
        assert top < 100 + height / 2 < bottom
        assert right - left < 400
        after = read_picture(report.out / row["file"]).pixels
        assert (after != wall).any()
        assert (after[:, :100] == wall[:, :100]).all()
