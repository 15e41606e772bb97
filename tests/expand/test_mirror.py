"""Mirrored copies: drawn by key, replayed from rows, and mirrored with all of their labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fomaug import Animator, DrivingPool, MotionAugment, MotionParams
from fomaug.errors import LabelError
from fomaug.expand import ExpandReport, expand
from fomaug.labels import mirror_points, read_annotations
from fomaug.media import read_picture, save_image


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


@pytest.fixture
def run(tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path) -> Callable[..., ExpandReport]:
    def call(out: str, **options: Any) -> ExpandReport:
        options = {"gates": "off", "copies": 3, "image_format": "png", "batch_size": 4, **options}
        return expand(faces, tmp_path / out, driving=tiny_pool, model=tiny_model, **options)

    return call


def pixels_of(report: ExpandReport) -> list[np.ndarray]:
    return [np.asarray(Image.open(report.out / row["file"])).astype(int) for row in rows_of(report.out)]


def test_a_probability_of_one_only_mirrors_every_copy(run: Callable[..., ExpandReport]) -> None:
    plain, mirrored = run("a"), run("b", mirror_probability=1.0)
    for first, second in zip(pixels_of(plain), pixels_of(mirrored), strict=True):
        np.testing.assert_array_equal(first[:, ::-1], second)
    for first, second in zip(rows_of(plain.out), rows_of(mirrored.out), strict=True):
        assert "mirrored" not in first["motion"], "rows of copies that are not mirrored are as before"
        assert {**first["motion"], "mirrored": True} == second["motion"]


def test_a_share_of_the_copies_is_mirrored_and_the_others_are_unchanged(run: Callable[..., ExpandReport]) -> None:
    plain, some = run("a", copies=8), run("b", copies=8, mirror_probability=0.5)
    chosen = [row["motion"].get("mirrored", False) for row in rows_of(some.out)]
    assert 10 < sum(chosen) < 30, "of 40"
    for first, second, mirrored in zip(pixels_of(plain), pixels_of(some), chosen, strict=True):
        np.testing.assert_array_equal(first[:, ::-1] if mirrored else first, second)


def test_a_row_replays_its_mirror(
    run: Callable[..., ExpandReport], faces: Path, tiny_model: Animator, tiny_pool: DrivingPool
) -> None:
    report = run("a", mirror_probability=0.5)
    augment = MotionAugment(tiny_pool, tiny_model)
    for row, written in zip(rows_of(report.out), pixels_of(report), strict=True):
        picture = torch.from_numpy(read_picture(faces / row["source"]).rgb.copy()).permute(2, 0, 1)[None]
        again = augment.apply(picture, [MotionParams.from_dict(row["motion"])]).image[0]
        assert np.abs(again.permute(1, 2, 0).numpy().astype(int) - written).max() <= 1


def test_a_resumed_job_is_mirrored_alike(
    run: Callable[..., ExpandReport], contents: Callable[[Path], dict[str, bytes]]
) -> None:
    report = run("a", mirror_probability=0.5)
    wanted = contents(report.out)
    for row in rows_of(report.out)[::2]:
        (report.out / row["file"]).unlink()
    run("a", mirror_probability=0.5, resume=True)
    found = contents(report.out)
    assert {name: found[name] for name in found if name.endswith(".png")} == {
        name: wanted[name] for name in wanted if name.endswith(".png")
    }


@pytest.mark.parametrize("form", ["csv", "coco"])
def test_landmarks_boxes_and_segmentations_are_mirrored(
    run: Callable[..., ExpandReport], faces: Path, tmp_path: Path, form: str
) -> None:
    keys = sorted(path.relative_to(faces).as_posix() for path in faces.rglob("*.*"))
    five = np.array([[15.0, 16], [30, 17], [22, 24], [16, 32], [29, 33]])
    if form == "csv":
        given = tmp_path / "points.csv"
        head = ",".join(f"x{n},y{n}" for n in range(5))
        lines = [",".join([key, *map(str, five.flatten())]) for key in keys]
        given.write_text(f"file,{head}\n" + "\n".join(lines))
    else:
        given = tmp_path / "faces.json"
        images = [{"id": n, "file_name": key, "width": 48, "height": 48} for n, key in enumerate(keys, 1)]
        flat = [value for n, (x, y) in enumerate(five) for value in (x, y, 1 if n == 0 else 2)]
        other = {"keypoints": [20, 20, 2] * 5, "num_keypoints": 5, "bbox": [18, 18, 6, 6]}
        face = {
            "keypoints": flat,
            "num_keypoints": 5,
            "bbox": [10, 9, 20, 24],
            "segmentation": [[10, 9, 30, 9, 30, 33, 10, 33]],
        }
        annotations = [
            {"id": 2 * n + part, "image_id": n, "category_id": 1, **own}
            for n in range(1, len(keys) + 1)
            for part, own in enumerate((face, other))
        ]
        content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "face"}]}
        given.write_text(json.dumps(content))
    plain, mirrored = run("a", annotations=str(given)), run("b", annotations=str(given), mirror_probability=1.0)
    for first, second in zip(rows_of(plain.out), rows_of(mirrored.out), strict=True):
        (_, width), one, two = first["size"], first["annotation"], second["annotation"]
        points = np.array(one["points"]).reshape(-1, 5, 2)
        wanted = mirror_points(points, 5, width=width)
        np.testing.assert_allclose(np.array(two["points"]).reshape(-1, 5, 2), wanted, atol=2e-3)
        order = [1, 0, 2, 4, 3]
        seen = [np.array(part["visible"]).reshape(-1, 5) for part in (one, two)]
        np.testing.assert_array_equal(seen[1], seen[0][:, order])
        if form == "coco":
            boxes, flipped = np.array(one["boxes"]), np.array(two["boxes"])
            np.testing.assert_allclose(flipped[:, [0, 2]], width - 1 - boxes[:, [2, 0]], atol=2e-3)
            np.testing.assert_allclose(flipped[:, [1, 3]], boxes[:, [1, 3]], atol=2e-3)
            flags = [np.array(part["fields"]["flags"]).reshape(-1, 5) for part in (one, two)]
            np.testing.assert_array_equal(flags[1], flags[0][:, order])
            corners = [np.reshape(part["segments"][0][0], (-1, 2)) for part in (one, two)]
            np.testing.assert_allclose(corners[1][:, 0].min(), width - 1 - corners[0][:, 0].max(), atol=0.02)
            np.testing.assert_allclose(corners[1][:, 0].max(), width - 1 - corners[0][:, 0].min(), atol=0.02)
    assert read_annotations(mirrored.out / given.name, mirrored.out)


def test_masks_are_mirrored(run: Callable[..., ExpandReport], faces: Path, tmp_path: Path) -> None:
    for path in faces.rglob("*.*"):
        size = read_picture(path).size
        save_image((tmp_path / "masks" / path.relative_to(faces)).with_suffix(".png"), np.tri(*size, dtype=np.uint8))
    plain, mirrored = (
        run(out, annotations=str(tmp_path / "masks"), mirror_probability=share) for out, share in (("a", 0), ("b", 1))
    )
    for row in rows_of(plain.out):
        first, second = ((out / row["file"]).with_suffix(".mask") for out in (plain.out, mirrored.out))
        np.testing.assert_array_equal(np.asarray(Image.open(first))[:, ::-1], np.asarray(Image.open(second)))


def test_the_square_of_a_face_is_mirrored_with_its_picture(run: Callable[..., ExpandReport]) -> None:
    options = {"faces": "detect", "detector": lambda image: [[4, 6, 24, 30], [26, 10, 38, 30]]}
    plain, mirrored = run("a", **options), run("b", mirror_probability=1.0, **options)
    for first, second in zip(pixels_of(plain), pixels_of(mirrored), strict=True):
        np.testing.assert_array_equal(first[:, ::-1], second)
    for row in rows_of(mirrored.out):
        assert row["motion"]["mirrored"] is True
        assert all("mirrored" not in other for other in row["motion"]["others"])


def test_poses_and_expressions_of_views_are_mirrored(face_model: Animator, faces: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"driving": "views", "copies": 4, "model": face_model, "gates": "off"}
    angles = "yaw=-20:20:20 roll=5 expressions=wink"
    plain, mirrored = (
        expand(faces, tmp_path / out, views=angles, mirror_probability=share, **options).out
        for out, share in (("a", 0.0), ("b", 1.0))
    )
    for first, second in zip(rows_of(plain), rows_of(mirrored), strict=True):
        one, two = first["view"], second["view"]
        for name in ("asked", "taken", "reached"):
            yaw, pitch, roll = one[name]
            assert two[name] == pytest.approx([-yaw, pitch, -roll])
        assert one["values"].keys() == {"blink left", "smile"}
        assert two["values"] == {"blink right": one["values"]["blink left"], "smile": one["values"]["smile"]}
        assert second["motion"]["view"] == first["motion"]["view"], "what replays the copy stays"


def test_landmarks_of_no_known_scheme_are_refused(run: Callable[..., ExpandReport], tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("file,x0,y0,x1,y1\nanna/1.png,20,20,25,25\n")
    with pytest.raises(LabelError, match="the pairs of 2 landmarks are unknown, unlike those of 5, 21"):
        run("a", annotations=str(tmp_path / "points.csv"), mirror_probability=0.5)
    assert not (tmp_path / "a").exists() or not any((tmp_path / "a").rglob("*.png"))
