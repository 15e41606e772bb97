from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fomaug import Animator, DrivingPool, MotionAugment, MotionParams
from fomaug._errors import ArgumentError, MediaError
from fomaug.expand import ExpandReport, expand
from fomaug.expand._compose import crop
from fomaug.expand._ledger import read_rows
from fomaug.expand._move import move
from fomaug.faces import Region, region_around
from fomaug.writers import read_mark, read_picture, save_image


@pytest.fixture
def run(tiny_model: Animator, tiny_pool: DrivingPool, tmp_path: Path, face: Callable[..., np.ndarray]):
    for i in range(2):
        save_image(tmp_path / "big" / f"{i}.png", face(i, 120, 160))

    def call(out: str = "out", **options: object) -> ExpandReport:
        options = {"copies": 2, "gates": "off", "faces": "detect", **options}
        return expand(tmp_path / "big", tmp_path / out, driving=tiny_pool, model=tiny_model, **options)

    return call


BOXES = [[20.0, 30.0, 60.0, 70.0], [100.0, 40.0, 140.0, 80.0]]


def test_every_face_of_a_picture_moves_and_the_rest_does_not(
    run: Callable[..., ExpandReport], tmp_path: Path, tiny_model: Animator, tiny_pool: DrivingPool
) -> None:
    report = run(detector=lambda image: BOXES)
    assert report.written == 4
    for row in read_rows(report.out / "manifest.jsonl"):
        regions = [Region(*face["region"]) for face in row["faces"]]
        assert regions == [region_around(box, (120, 160)) for box in BOXES]
        before, after = (
            read_picture(path).pixels for path in (tmp_path / "big" / row["source"], report.out / row["file"])
        )
        for region in regions:
            rows, columns = slice(region.top, region.bottom), slice(region.left, region.right)
            assert (before[rows, columns] != after[rows, columns]).any()
        assert (before[100:] == after[100:]).all()
        assert read_mark(report.out / row["file"]).source_type == "compositeWithTrainedAlgorithmicMedia"


def test_a_face_in_a_picture_is_the_face_cut_out(
    run: Callable[..., ExpandReport], tmp_path: Path, tiny_model: Animator, tiny_pool: DrivingPool
) -> None:
    row = next(iter(read_rows(run(detector=lambda image: BOXES[:1]).out / "manifest.jsonl")))
    region = Region(*row["faces"][0]["region"])
    part = crop(read_picture(tmp_path / "big" / row["source"]), region)
    alone = move(
        MotionAugment(tiny_pool, tiny_model), [part], [[MotionParams.from_dict(row["motion"])]], batch_size=1
    )[0][0]  # fmt: skip
    whole = read_picture(tmp_path / "out" / row["file"]).pixels
    height, width = part.size
    middle = (slice(height // 4, height // 2), slice(width // 4, width // 2))
    inside = whole[region.top : region.bottom, region.left : region.right][middle].astype(int)
    assert np.abs(inside - alone.picture.pixels[middle]).max() <= 1


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


def test_a_missing_face_can_stop_the_job(run: Callable[..., ExpandReport]) -> None:
    with pytest.raises(MediaError, match=r"0\.png: has no face"):
        run(detector=lambda image: [], on_missing="error")


def test_boxes_come_from_the_annotations(run: Callable[..., ExpandReport], tmp_path: Path) -> None:
    import json

    lines = [{"file_name": f"{i}.png", "objects": {"bbox": [[20, 30, 40, 40]]}} for i in range(1)]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = run(faces="boxes", annotations=str(tmp_path / "metadata.jsonl"))
    assert (report.written, [failure.source for failure in report.failed]) == (2, ["1.png"])
    moved = [json.loads(line) for line in (report.out / "metadata.jsonl").read_text().splitlines()]
    assert [line["file_name"] for line in moved] == ["0_m000.png", "0_m001.png"]
    with pytest.raises(ArgumentError, match="give annotations, or use faces='detect'"):
        run("b", faces="boxes")


def test_a_model_that_knows_no_face_cannot_look_for_one(run: Callable[..., ExpandReport], tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="'tiny' does not know which points"):
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
        (found,) = row["faces"]
        left, top, right, bottom = found["region"]
        assert left < 250 + width / 2 < right
        assert top < 100 + height / 2 < bottom
        assert right - left < 400
        after = read_picture(report.out / row["file"]).pixels
        assert (after != wall).any()
        assert (after[:, :100] == wall[:, :100]).all()
