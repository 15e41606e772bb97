from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fomaug import Animator, DrivingPool, MotionAugment, MotionParams, warp
from fomaug.errors import LabelError, ResumeError
from fomaug.expand import ExpandReport
from fomaug.labels import FaceLabels, Flaw, from_plain, list_annotations, load_labels, to_plain
from fomaug.labels.rle import decode_mask, encode_mask
from fomaug.labels.segments import move_segment
from fomaug.media import read_picture, save_image

POINTS = [[10.0, 12.0], [30.0, 20.0], [24.0, 24.0]]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    lines = ["file,age,x0,y0,x1,y1,x2,y2"]
    lines += [f"{name},30," + ",".join(str(v) for xy in POINTS for v in xy) for name in ("anna/1.png", "ben/1.png")]
    (tmp_path / "landmarks.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "landmarks.csv"


def rows_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def replay(row: dict, faces: Path, model: Animator, pool: DrivingPool) -> torch.Tensor:
    """The flow of a copy, made again from its row."""
    pixels = torch.from_numpy(read_picture(faces / row["source"]).pixels.copy()).permute(2, 0, 1)[None]
    return MotionAugment(pool, model).apply(pixels, [MotionParams.from_dict(row["motion"])]).flow


def test_landmarks_in_a_table_move_with_each_copy(
    run: Callable[..., ExpandReport], table: Path, faces: Path, tiny_model: Animator, tiny_pool: DrivingPool
) -> None:
    report = run(table)
    with (report.out / "landmarks.csv").open() as file:
        written = {row["file"]: row for row in csv.DictReader(file)}
    rows = {row["file"]: row for row in rows_of(report.out) if "annotation" in row}
    assert report.unannotated == 3
    assert set(written) == set(rows) == {f"{name}/1_m00{i}.png" for name in ("anna", "ben") for i in range(2)}
    for name, row in rows.items():
        flow = replay(row, faces, tiny_model, tiny_pool)
        wanted, visible = warp.points(torch.tensor([POINTS], dtype=torch.float64)[0], flow.double(), size=(48, 48))
        found = np.array([[float(written[name][f"{axis}{i}"]) for axis in "xy"] for i in range(3)])
        seen = [written[name][f"v{i}"] == "1" for i in range(3)]
        np.testing.assert_allclose(found[seen], wanted.reshape(3, 2).numpy()[seen], atol=0.05)
        assert written[name]["age"] == "30"
        assert sum(visible.reshape(-1).tolist()) >= sum(seen), "occlusion can only hide more"


def test_rows_of_one_picture_move_and_remain_rows(
    run: Callable[..., ExpandReport], table: Path, contents: Callable[[Path], dict[str, bytes]]
) -> None:
    table.write_text(table.read_text() + "anna/1.png,50,20,20,22,22,24,24\n")
    report = run(table)
    with (report.out / "landmarks.csv").open() as file:
        written = [(row["file"], row["age"]) for row in csv.DictReader(file)]
    assert written[:4] == [(f"anna/1_m00{i}.png", age) for i in range(2) for age in ("30", "50")]


@pytest.mark.parametrize("format", ["masks", "pts"])
def test_lost_label_files_are_made_again_with_their_copy(
    run: Callable[..., ExpandReport], faces: Path, contents: Callable[[Path], dict[str, bytes]], format: str
) -> None:
    if format == "masks":
        given, names = faces / "masks", ["anna/1_m000.mask", "anna/1_m001.mask"]
        save_image(given / "anna" / "1.png", np.eye(48, dtype=np.uint8))
    else:
        given, names = faces, ["anna/1_m000.pts", "anna/1_m001.pts"]
        (faces / "anna" / "1.pts").write_text("version: 1\nn_points: 1\n{\n10 10\n}\n")
        (faces / "ben" / "gone.png").symlink_to(faces / "nowhere.png")
    out = run(given).out
    whole = contents(out)
    (out / names[0]).unlink()
    (out / names[1]).write_bytes(b"")
    assert run(given, resume=True).new == 2
    assert contents(out) == whole


def test_masks_move_and_keep_their_palette(
    run: Callable[..., ExpandReport], faces: Path, tiny_model: Animator, tiny_pool: DrivingPool
) -> None:
    mask = np.zeros((48, 48), np.uint8)
    mask[:, 24:] = 3
    picture = Image.fromarray(mask).convert("P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    (faces / "masks" / "anna").mkdir(parents=True)
    picture.save(faces / "masks" / "anna" / "1.png")
    report = run(faces / "masks")
    assert report.sources == 5, "masks are no sources"
    for row in rows_of(report.out)[:2]:
        with Image.open((report.out / row["file"]).with_suffix(".mask")) as found:
            assert found.mode == "P"
            assert found.getpalette()[9:12] == [0, 0, 255]
            flow = replay(row, faces, tiny_model, tiny_pool)
            wanted = warp.mask(torch.from_numpy(mask).long()[None], flow)[0].numpy()
            np.testing.assert_array_equal(np.asarray(found), wanted)


def test_boxes_of_a_coco_file_move_and_categories_stay(run: Callable[..., ExpandReport], tmp_path: Path) -> None:
    face = {"id": 7, "image_id": 1, "category_id": 4, "bbox": [8, 8, 30, 30], "area": 900, "iscrowd": 0, "mood": "glad"}
    content = {
        "images": [{"id": 1, "file_name": "anna/1.png", "width": 48, "height": 48}],
        "annotations": [face],
        "categories": [{"id": 4, "name": "person"}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(content))
    written = json.loads((run(tmp_path / "coco.json").out / "coco.json").read_text())
    assert written["categories"] == content["categories"]
    assert [image["file_name"] for image in written["images"]] == ["anna/1_m000.png", "anna/1_m001.png"]
    assert all(found["mood"] == "glad" and found["category_id"] == 4 for found in written["annotations"])


def test_segmentations_of_a_coco_file_move_with_each_copy(
    run: Callable[..., ExpandReport], faces: Path, tmp_path: Path, tiny_model: Animator, tiny_pool: DrivingPool
) -> None:
    polygon = [[10.0, 8.0, 36.0, 12.0, 30.0, 40.0]]
    runs = encode_mask(np.pad(np.ones((20, 24), np.uint8), ((10, 18), (8, 16))), packed=True)
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 8, 26, 32], "segmentation": polygon, "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [8, 10, 24, 20], "segmentation": runs, "iscrowd": 1},
    ]
    content = {"images": [{"id": 1, "file_name": "anna/1.png"}], "annotations": annotations, "categories": [{"id": 1}]}
    (tmp_path / "coco.json").write_text(json.dumps(content))
    report = run(tmp_path / "coco.json")
    written = json.loads((report.out / "coco.json").read_text())
    rows = {row["file"]: row for row in rows_of(report.out)}
    for image in written["images"]:
        flow = replay(rows[image["file_name"]], faces, tiny_model, tiny_pool)
        first, second = (face for face in written["annotations"] if face["image_id"] == image["id"])
        assert first["segmentation"] == move_segment(polygon, flow, (48, 48))
        assert second["segmentation"] == move_segment(runs, flow, (48, 48))
        assert (first["iscrowd"], second["iscrowd"]) == (0, 1)
        assert second["area"] == decode_mask(second["segmentation"]).sum()


def test_a_folder_of_pts_files_is_mirrored(run: Callable[..., ExpandReport], faces: Path) -> None:
    body = "\n".join(f"{x} {y}" for x, y in POINTS)
    (faces / "ben" / "2.pts").write_text(f"version: 1\nn_points: 3\n{{\n{body}\n}}\n")
    report = run(faces)
    assert (report.out / "ben" / "2_m000.pts").is_file()
    assert (report.out / "ben" / "2_m001.pts").is_file()
    assert len(list(report.out.rglob("*.pts"))) == 2


def test_a_resumed_job_writes_the_same_annotations(run: Callable[..., ExpandReport], table: Path) -> None:
    whole = (run(table).out / "landmarks.csv").read_bytes()
    out = run(table, resume=True).out
    (out / "landmarks.csv").unlink()
    lines = (out / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (out / "manifest.jsonl").write_bytes(b"".join(lines[:4]) + lines[4][:50])
    run(table, resume=True)
    assert (out / "landmarks.csv").read_bytes() == whole
    table.write_text(table.read_text().replace("30", "31"))
    with pytest.raises(ResumeError, match=r"annotations\.digest"):
        run(table, resume=True)


def test_archives_keep_annotations_in_their_rows(run: Callable[..., ExpandReport], table: Path) -> None:
    report = run(table, format="webdataset")
    assert sum("annotation" in row for row in rows_of(report.out)) == 4
    assert not (report.out / "landmarks.csv").exists()


def test_annotations_of_no_picture_are_refused(
    run: Callable[..., ExpandReport], tmp_path: Path, table: Path, faces: Path
) -> None:
    (tmp_path / "other.csv").write_text("file,x0,y0\nzoe/1.png,1,1\n")
    with pytest.raises(LabelError, match="has no annotation of a picture"):
        run(tmp_path / "other.csv")
    table.rename(tmp_path / "manifest.jsonl")
    (tmp_path / "manifest.jsonl").write_text('{"file_name": "anna/1.png", "points": [[1, 1]]}\n')
    with pytest.raises(LabelError, match="rename it"):
        run(tmp_path / "manifest.jsonl")
    (faces / "masks" / "anna").mkdir(parents=True)
    save_image(faces / "masks" / "anna" / "1.png", np.zeros((48, 48), np.uint8))
    with pytest.raises(LabelError, match="cannot store"):
        run(faces / "masks", format="parquet")


def test_labels_survive_as_json() -> None:
    labels = FaceLabels(
        points=np.array(POINTS),
        visible=np.array([True, False, True]),
        boxes=np.array([[1.0, 2.0, 3.0, 4.5]]),
        box_visible=np.array([True]),
        fields={"age": 3},
    )
    again = from_plain(json.loads(json.dumps(to_plain(labels))))
    for name in ("points", "visible", "boxes", "box_visible"):
        np.testing.assert_array_equal(getattr(again, name), getattr(labels, name))
    assert again.fields == labels.fields
    assert from_plain(to_plain(FaceLabels())).points is None


def write_masks(folder: Path, names: tuple[str, ...]) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((48, 48), number, np.uint8)).save(folder / name)


def test_masks_are_not_loaded_before_their_picture_is_animated(faces: Path, tmp_path: Path) -> None:
    write_masks(tmp_path / "masks", ("anna/1.png", "ben/1.png"))
    labels = list_annotations(tmp_path / "masks", faces)
    assert sorted(labels) == ["anna/1.png", "ben/1.png"]
    assert all(found.mask is None for found in labels.values())
    loaded = load_labels(labels["ben/1.png"], "masks")
    assert loaded is not None
    assert loaded.mask is not None
    np.testing.assert_array_equal(loaded.mask, 1)
    assert loaded.origins == (str(tmp_path / "masks" / "ben" / "1.png"),)


@pytest.mark.parametrize("damage", ["cut", "colour", "no picture"])
def test_masks_that_cannot_be_used_are_found_before_anything_is_written(
    run: Callable[..., ExpandReport], tmp_path: Path, damage: str
) -> None:
    write_masks(tmp_path / "masks", ("anna/1.png", "ben/1.png"))
    path = tmp_path / "masks" / "anna" / "1.png"
    if damage == "colour":
        Image.new("RGB", (48, 48)).save(path)
    else:
        path.write_bytes(path.read_bytes()[:60] if damage == "cut" else b"x")
    with pytest.raises(LabelError, match="it is a colour picture" if damage == "colour" else "it cannot be read"):
        run(tmp_path / "masks", on_error="raise")
    assert not (tmp_path / "out").exists()
    report = run(tmp_path / "masks")
    assert [failure.source for failure in report.flawed] == [str(path)]
    assert report.written == 10


def test_a_mask_that_is_gone_when_its_picture_is_animated_is_named(faces: Path, tmp_path: Path) -> None:
    write_masks(tmp_path / "masks", ("anna/1.png",))
    labels = list_annotations(tmp_path / "masks", faces)["anna/1.png"]
    (tmp_path / "masks" / "anna" / "1.png").unlink()
    flaws: list[Flaw] = []
    assert load_labels(labels, "masks", picture="anna/1.png", on_flaw=flaws.append) is None
    assert [flaw.picture for flaw in flaws] == ["anna/1.png"]
    assert "it cannot be read: No such file" in flaws[0].reason
