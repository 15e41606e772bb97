"""`fomaug.Expander`: batches of columns give the copies that the job gives."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import fresh
import numpy as np
import pytest
from PIL import Image

import fomaug
from fomaug import Expander, MotionParams
from fomaug.errors import ArgumentError, LabelError, MediaError
from fomaug.expand import UnusedRowsWarning, expand
from fomaug.media import read_mark, save_image
from fomaug.quality import Gates

OUTPUTS = ["image", "key", "source_key", "copy", "label", "annotation", "motion", "scores"]
OPEN = {**dict.fromkeys(Gates().to_dict()), "max_residual": 10.0}  # everything is scored, and everything passes
Batch = dict[str, list[object]]


@pytest.fixture
def options(saved: dict[str, str]) -> dict[str, object]:
    """Options that name a small model and its pool by their files."""
    return {**saved, "copies": 3, "gates": "off", "device": "cpu"}


@pytest.fixture
def batch(faces: Path) -> Batch:
    """The pictures of the folder as bytes, with the keys and labels that the job gives them."""
    paths = sorted(path for path in faces.rglob("*") if path.is_file())
    keys = [path.relative_to(faces).as_posix() for path in paths]
    return {
        "image": [path.read_bytes() for path in paths],
        "key": keys,
        "label": [key.partition("/")[0] for key in keys],
    }


def rows_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def part(batch: Batch, *rows: int) -> Batch:
    return {name: [values[row] for row in rows] for name, values in batch.items()}


def test_batches_have_the_bytes_motion_and_scores_of_the_job(
    options: dict[str, object], batch: Batch, faces: Path, tmp_path: Path
) -> None:
    options = {**options, "gates": OPEN, "seed": 3}
    report = expand(faces, tmp_path / "out", **options)
    rows = rows_of(report.out)
    assert len(rows) == 15
    made = Expander(**options)(batch)
    assert list(made) == OUTPUTS
    assert made["image"] == [(report.out / row["file"]).read_bytes() for row in rows]
    assert made["source_key"] == [row["source"] for row in rows]
    assert made["copy"] == [row["copy"] for row in rows]
    assert made["label"] == [row["label"] for row in rows]
    assert list(map(json.loads, made["motion"])) == [row["motion"] for row in rows]
    assert list(map(json.loads, made["scores"])) == [row["scores"] for row in rows]
    assert len(set(made["key"])) == 15


def test_with_passes_of_one_source_the_bytes_depend_on_neither_batch_nor_order(
    options: dict[str, object], batch: Batch, faces: Path, tmp_path: Path
) -> None:
    options = {**options, "batch_size": 3, "gates": {**OPEN, "max_residual": 0.17}, "tries": 2}
    report = expand(faces, tmp_path / "out", **options)
    assert 0 < report.rejected < 15, "some copies are drawn anew"
    images = {(row["source"], row["copy"]): (report.out / row["file"]).read_bytes() for row in rows_of(report.out)}
    total = 0
    for rows in ([4], [3, 0], [1, 2]):
        made = Expander(**options)(part(batch, *rows))
        total += len(made["image"])
        assert [images[copy] for copy in zip(made["source_key"], made["copy"], strict=True)] == made["image"]
    assert total == report.written


def test_draws_depend_on_neither_batch_nor_order(options: dict[str, object], batch: Batch) -> None:
    whole = Expander(**options)(batch)
    draws = {key: json.loads(motion) for key, motion in zip(whole["key"], whole["motion"], strict=True)}
    made = Expander(**options)(part(batch, 3, 0))
    for key, motion in zip(made["key"], map(json.loads, made["motion"]), strict=True):
        assert motion["strength"] == pytest.approx(draws[key]["strength"], rel=1e-4)
        assert {**motion, "strength": 0} == {**draws[key], "strength": 0}


def test_columns_of_a_parquet_file_are_those_of_a_batch(
    options: dict[str, object], batch: Batch, faces: Path, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    report = expand(faces, tmp_path / "out", format="parquet", **options)
    table = parquet.read_table(report.out / "train-00000.parquet").to_pydict()
    made = Expander(**options)(batch)
    assert [image["bytes"] for image in table["image"]] == made["image"]
    assert table["label"] == made["label"]
    assert table["source"] == made["source_key"]
    firsts = {name: values[::3] for name, values in table.items()}
    again = Expander(**options, columns={"key": "source"})(firsts)
    assert again["source_key"][::3] == firsts["source"], "images in structures are read"


@pytest.mark.parametrize("kind", ["array", "pil", "bytearray"])
def test_arrays_and_pil_images_count_as_png(
    options: dict[str, object], face: Callable[..., np.ndarray], kind: str, tmp_path: Path
) -> None:
    array = face(0)
    save_image(tmp_path / "one" / "a.png", array)
    content = (tmp_path / "one" / "a.png").read_bytes()
    given = {"array": array, "pil": Image.fromarray(array), "bytearray": bytearray(content)}[kind]
    expected = Expander(**options)({"image": [content], "key": ["a.png"]})
    assert Expander(**options)({"image": [given], "key": ["a.png"]}) == expected
    batch = {"image": np.stack([array]), "key": np.array(["a.png"])}
    assert Expander(**options)(batch) == expected, "arrays of arrays are columns, too"


@pytest.mark.parametrize(
    ("mode", "expected"), [("L", "L"), ("P", "RGB"), ("1", "L"), ("CMYK", "RGB"), ("RGBA", "RGBA"), ("I;16", "I;16")]
)
def test_pil_images_of_every_mode_are_read(
    options: dict[str, object], face: Callable[..., np.ndarray], mode: str, expected: str
) -> None:
    image = Image.fromarray(face(0)).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    made = Expander(**options)({"image": [image], "key": ["a"]})
    assert [Image.open(io.BytesIO(content)).mode for content in made["image"]] == [expected] * 3


def test_options_are_json_and_all_that_is_pickled(options: dict[str, object], batch: Batch) -> None:
    expander = Expander(**options, labels={"*": "fake"}, yaw_range=None, columns={"key": "key"}, seed=5)
    made = expander(batch)
    again = Expander(**json.loads(json.dumps(expander.options)))
    assert again.options == expander.options
    sent = pickle.dumps(expander)
    assert len(sent) < 1000, "the loaded model stays behind"
    assert pickle.loads(sent)(batch) == made
    assert set(made["label"]) == {"fake"}


def test_the_model_is_loaded_once_in_a_process_and_not_before_it_is_needed(
    options: dict[str, object], batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fomaug.expand import expander as home

    loads: list[object] = []
    load = home.load_augment
    monkeypatch.setattr(home, "load_augment", lambda plan: loads.append(plan) or load(plan))
    home._load_stages.cache_clear()
    first = Expander(**options)
    assert not loads
    first(part(batch, 0))
    pickle.loads(pickle.dumps(first))(part(batch, 1))
    assert len(loads) == 1


def test_importing_the_expander_loads_no_pipeline() -> None:
    code = "import fomaug, sys; fomaug.Expander; print({'ray', 'datasets', 'pyarrow'} & set(sys.modules))"
    assert fresh.run(["-c", code], check=True).stdout.strip() == "set()"


def test_annotations_move_as_in_the_job(options: dict[str, object], batch: Batch, faces: Path, tmp_path: Path) -> None:
    lines = [{"file_name": key, "points": [[9.5, 12], [30, 31]], "note": key} for key in batch["key"]]
    (tmp_path / "points.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    report = expand(faces, tmp_path / "out", annotations=str(tmp_path / "points.jsonl"), format="parquet", **options)
    values = [{"points": line["points"], "fields": {"note": line["note"]}} for line in lines]
    for annotation in (values, [json.dumps(value) for value in values]):
        made = Expander(**options)({**batch, "annotation": annotation})
        assert list(map(json.loads, made["annotation"])) == [row["annotation"] for row in rows_of(report.out)]
    again = Expander(**options)({"image": made["image"], "key": made["key"], "annotation": made["annotation"]})
    assert all(again["annotation"]), "what comes out can go in"


def test_faces_in_boxes_move_as_in_the_job(
    options: dict[str, object], face: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    save_image(tmp_path / "large" / "a.png", face(0, 96, 128))
    line = {"file_name": "a.png", "objects": {"bbox": [[20, 16, 48, 48]]}}
    (tmp_path / "boxes.jsonl").write_text(json.dumps(line))
    options = {**options, "faces": "boxes"}
    report = expand(tmp_path / "large", tmp_path / "out", annotations=str(tmp_path / "boxes.jsonl"), **options)
    made = Expander(**options)(
        {
            "image": [(tmp_path / "large" / "a.png").read_bytes()],
            "key": ["a.png"],
            "annotation": [{"boxes": [[20, 16, 67, 63]], "points": None, "fields": None}],
        }
    )
    assert made["image"] == [(report.out / row["file"]).read_bytes() for row in rows_of(report.out)]
    assert json.loads(made["motion"][0])["box"]


BROKEN: list[tuple[object, str]] = [
    (b"no picture", "cannot be read as a picture"),
    (None, "has no image: the bytes of a file, .* was expected, got NoneType"),
    ({"bytes": None, "path": "/nowhere/a.png"}, "No such file"),
    (np.zeros((48, 48, 3), float), "must be .* uint8 or uint16"),
    (np.zeros((8, 8, 3), np.uint8), "has 8 x 8 pixels; at least 16"),
    (np.zeros((3, 48), object), "has no image"),
    ("a.png", "has no image"),
]


@pytest.mark.parametrize(("image", "reason"), BROKEN)
def test_a_bad_row_is_named_and_all_others_are_used(
    options: dict[str, object], batch: Batch, image: object, reason: str
) -> None:
    mixed = {**batch, "image": [*batch["image"][:2], image, *batch["image"][3:]]}
    with pytest.warns(UnusedRowsWarning, match=rf"1 of 5 pictures could not be used.*: ben/1.png: .*{reason}"):
        made = Expander(**options)(mixed)
    assert set(made["source_key"]) == set(batch["key"]) - {"ben/1.png"}
    assert all(made["image"])
    reported = Expander(**options, flaws="column")(mixed)
    assert list(reported) == [*OUTPUTS, "flaw"]
    bad = [row for row, flaw in enumerate(reported["flaw"]) if flaw]
    assert len(bad) == 1
    assert {name: reported[name][bad[0]] for name in ("image", "source_key", "copy", "motion", "label")} == {
        "image": b"",
        "source_key": "ben/1.png",
        "copy": -1,
        "motion": "",
        "label": "ben",
    }
    with pytest.raises(MediaError, match=f"ben/1.png: .*{reason}"):
        Expander(**options, on_error="raise")(mixed)


def test_a_key_that_occurs_twice_in_a_batch_is_a_flaw(batch: dict[str, list], options: dict[str, object]) -> None:
    twice = {name: [values[0], values[1]] for name, values in batch.items()} | {"key": ["a", "a"]}
    with pytest.warns(UnusedRowsWarning, match="a: has the key of an earlier row"):
        made = Expander(**options)(twice)
    alone = Expander(**options)({name: values[:1] for name, values in twice.items()})
    assert (made["key"], made["image"]) == (alone["key"], alone["image"])


def test_a_batch_without_a_good_row_returns_empty_columns(options: dict[str, object]) -> None:
    with pytest.warns(UnusedRowsWarning, match="row 1: has no key"):
        made = Expander(**options)({"image": [b"", b""], "key": ["a", None]})
    assert made == {name: [] for name in OUTPUTS}
    assert Expander(**options)({"image": [], "key": []}) == made


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ("{", "not JSON"),
        ([1], "must be a JSON object"),
        ({"point": [[1, 2]]}, "did you mean 'points'"),
        ({"points": [[1, "x"]]}, "points must be rows of 2 numbers"),
        ({"points": [[1, 2]], "visible": [True, False]}, "visible must have one flag for each of 1"),
        ({"boxes": [[5, 5, 2, 9]]}, "a width and a height of more than 0"),
        ({"segments": [[[1, 2, 3]]]}, "a polygon must have three or more corners"),
        ({"boxes": [[1, 1, 5, 5]], "fields": {"faces": [1], "has_box": [True, True]}}, "the fields do not fit"),
        ({"fields": 3}, "fields must be a JSON object"),
    ],
)
def test_a_flawed_annotation_is_left_out_and_the_copies_are_made(
    options: dict[str, object], batch: Batch, annotation: object, reason: str
) -> None:
    given = {**part(batch, 0, 1), "annotation": [annotation, {"points": [[3, 4]]}]}
    with pytest.warns(UnusedRowsWarning, match=rf"1 of 2 pictures .*: anna/1.png: .*{reason}"):
        made = Expander(**options)(given)
    assert made["annotation"][:3] == [""] * 3
    assert all(made["annotation"][3:])
    assert made["image"] == Expander(**options)(part(batch, 0, 1))["image"]
    reported = Expander(**options, flaws="column")(given)
    assert reported["image"] == made["image"]
    assert all(reported["flaw"][:3]) and not any(reported["flaw"][3:])
    with pytest.raises(LabelError, match=reason):
        Expander(**options, on_error="raise")(given)


def test_rejected_copies_are_left_out_as_in_the_job_and_reported_on_request(
    options: dict[str, object], batch: Batch, faces: Path, tmp_path: Path
) -> None:
    options = {**options, "gates": {**OPEN, "max_residual": 0.17}, "tries": 2}
    report = expand(faces, tmp_path / "out", **options)
    assert 0 < report.rejected < 15
    made = Expander(**options)(batch)
    assert made["image"] == [(report.out / row["file"]).read_bytes() for row in rows_of(report.out)]
    found = Expander(**options, flaws="column")(batch)
    rejected = [row for row, image in enumerate(found["image"]) if not image]
    lines = [json.loads(line) for line in (report.out / "rejected.jsonl").read_text().splitlines()]
    assert [(found["source_key"][row], found["copy"][row]) for row in rejected] == [
        (line["source"], line["copy"]) for line in lines
    ]
    assert all("rejected by the gates: residual" in found["flaw"][row] for row in rejected)
    assert len(set(found["key"])) == 15


def test_copies_have_their_mark_and_their_motion_replays(
    options: dict[str, object], batch: Batch, tmp_path: Path
) -> None:
    made = Expander(**options)(part(batch, 0))
    (tmp_path / "a.png").write_bytes(made["image"][0])
    assert read_mark(tmp_path / "a.png").synthetic
    params = MotionParams.from_dict(json.loads(made["motion"][0]))
    assert params.key == "anna/1.png"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"balance": True}, "no option 'balance', which belongs to a whole dataset"),
        ({"annotations": "a.csv"}, "no option 'annotations'"),
        ({"strenght_range": (0, 1)}, "did you mean 'strength_range'"),
        ({"copies": 0}, "copies must be 1 or more"),
        ({"gates": {"min_nothing": 1}}, "min_nothing"),
        ({"columns": {"picture": "x"}}, "columns names inputs of image, key, label, annotation"),
        ({"flaws": "row"}, "flaws must be one of warn, column"),
    ],
)
def test_wrong_options_are_refused_before_a_model_is_loaded(given: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Expander(**given)


def test_missing_columns_are_named(options: dict[str, object], batch: Batch) -> None:
    with pytest.raises(ArgumentError, match=r"no column 'key' \(key\), but image, label; name it with columns="):
        Expander(**options)({name: batch[name] for name in ("image", "label")})
    with pytest.raises(ArgumentError, match=r"no column 'person' \(label\)"):
        Expander(**options, columns={"label": "person"})(batch)
    with pytest.raises(ArgumentError, match="the columns of a batch must have one length"):
        Expander(**options)({**batch, "label": ["a"]})


def test_a_label_that_the_mapping_lacks_is_an_error(options: dict[str, object], batch: Batch) -> None:
    with pytest.raises(LabelError, match="the dataset also has ben, carla"):
        Expander(**options, labels={"anna": "a"})(batch)


def test_numbers_are_keys_and_labels(options: dict[str, object], batch: Batch) -> None:
    numbered = {"image": batch["image"][:2], "key": np.array([7, 8]), "label": [np.int64(1), None]}
    made = Expander(**options)(numbered)
    assert made["source_key"] == ["7"] * 3 + ["8"] * 3
    assert made["label"] == ["1"] * 3 + [""] * 3
    assert made["key"][:2] == ["7_m000", "7_m001"]


def test_the_expander_is_a_name_of_the_package() -> None:
    assert fomaug.Expander is fomaug.expand.Expander
    assert repr(Expander(copies=2)) == "Expander(copies=2)"
