from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from fomaug import Animator, DrivingPool
from fomaug.errors import MediaError
from fomaug.expand import ExpandReport, expand, summarise
from fomaug.expand.formats import FORMATS, load_outputs, register
from fomaug.expand.plan import Format
from fomaug.expand.samples import Sample
from fomaug.media import save_image


@pytest.fixture
def run(tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path) -> Callable[..., ExpandReport]:
    def call(out: str = "out", dataset: Path = faces, **options: object) -> ExpandReport:
        options = {"gates": "off", "copies": 2, "batch_size": 2, "samples_per_shard": 4, **options}
        return expand(dataset, tmp_path / out, driving=tiny_pool, model=tiny_model, **options)

    return call


def rows_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def test_tar_files_hold_samples_as_webdataset_reads_them(run: Callable[..., ExpandReport]) -> None:
    report = run(format="webdataset")
    assert sorted(path.name for path in report.out.glob("*.tar")) == [
        "train-00000.tar",
        "train-00001.tar",
        "train-00002.tar",
    ]
    samples: dict[str, dict[str, bytes]] = {}
    for path in sorted(report.out.glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                key, _, suffix = member.name.partition(".")
                samples.setdefault(key, {})[suffix] = archive.extractfile(member).read()
                assert (member.mtime, member.uid) == (0, 0)
    assert len(samples) == 10
    for key, sample in samples.items():
        row = json.loads(sample["json"])
        assert row["member"].startswith(key)
        assert int(sample["cls"]) == ["anna", "ben", "carla"].index(row["label"])
        suffix = "jpg" if row["source"].endswith("jpg") else "png"
        assert Image.open(io.BytesIO(sample[suffix])).size == tuple(row["size"][::-1])
    assert [row["file"] for row in rows_of(report.out)] == ["train-00000.tar"] * 4 + ["train-00001.tar"] * 4 + [
        "train-00002.tar"
    ] * 2


def test_the_manifest_equals_the_rows_in_the_archive(run: Callable[..., ExpandReport]) -> None:
    report = run(format="webdataset")
    inside = []
    for path in sorted(report.out.glob("*.tar")):
        with tarfile.open(path) as archive:
            inside += [json.load(archive.extractfile(m)) for m in archive if m.name.endswith(".json")]
    assert inside == rows_of(report.out)


@pytest.mark.parametrize("format", ["folder", "webdataset", "parquet"])
def test_every_format_holds_the_same_pictures(run: Callable[..., ExpandReport], format: str) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    folder, other = run("a"), run("b", format=format)
    rows = sorted(rows_of(other.out), key=lambda row: (row["source"], row["copy"]))  # tar files are sorted by format
    for first, second, content in zip(rows_of(folder.out), rows, load_outputs(other.out, rows), strict=True):
        assert content == (folder.out / first["file"]).read_bytes()
        assert first["hash"] == second["hash"]
    assert summarise(other.out).copies == 10
    assert other.contact_sheet is not None


def test_dots_in_names_do_not_cut_the_keys(
    run: Callable[..., ExpandReport], tmp_path: Path, face: Callable[..., np.ndarray]
) -> None:
    for name in ("a.b.png", "a-b.png"):
        save_image(tmp_path / "dots" / name, face(0))
    report = run(dataset=tmp_path / "dots", format="webdataset", copies=1)
    with tarfile.open(report.out / "train-00000.tar") as archive:
        names = archive.getnames()
    assert len({name.partition(".")[0] for name in names}) == 2
    assert not any(name.endswith(".cls") for name in names), "no classes, no numbers"


def test_bitmaps_have_their_mark_in_archives(
    run: Callable[..., ExpandReport], tmp_path: Path, face: Callable[..., np.ndarray]
) -> None:
    save_image(tmp_path / "bmp" / "a.bmp", face(0))
    report = run(dataset=tmp_path / "bmp", format="webdataset", copies=1)
    with tarfile.open(report.out / "train-00000.tar") as archive:
        assert b"trainedAlgorithmicMedia" in archive.extractfile("a_m000.xmp").read()
    report = run("plain", dataset=tmp_path / "bmp", copies=1)
    assert (report.out / "a_m000.bmp.xmp").is_file()


def test_splits_have_their_own_archives(
    run: Callable[..., ExpandReport], tmp_path: Path, face: Callable[..., np.ndarray]
) -> None:
    for i, split in enumerate(("train", "test")):
        save_image(tmp_path / "split" / split / "anna" / "1.png", face(i))
    report = run(dataset=tmp_path / "split", format="webdataset", split="all")
    assert {str(path.relative_to(report.out)) for path in report.out.rglob("*.tar")} == {
        "test/00000.tar",
        "train/00000.tar",
    }


def test_parquet_has_the_columns_of_an_image_dataset(run: Callable[..., ExpandReport]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    report = run(format="parquet")
    table = parquet.read_table(report.out / "train-00000.parquet")
    assert table.column_names == ["image", "label", "source", "source_id", "split", "manifest"]
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    first = table.to_pylist()[0]
    assert json.loads(first["manifest"]) == rows_of(report.out)[0]
    assert first["label"] == "anna"
    assert Image.open(io.BytesIO(first["image"]["bytes"])).format == "PNG"


def test_parquet_without_its_package_names_the_extra(
    run: Callable[..., ExpandReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from fomaug.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fomaug\[parquet\]'"):
        run(format="parquet")


def test_only_needed_parts_of_a_table_are_read_and_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    from fomaug.expand.formats import parquet as _parquet

    monkeypatch.setattr(_parquet, "_GROUP_BYTES", 0)
    writer = _parquet.ParquetWriter(tmp_path)
    writer.begin("00000")
    for i in range(6):
        writer.add(Sample(f"{i}.png", bytes([i]), None, {"label": "a"}))
    rows = writer.finish()
    groups: list[int] = []
    read = parquet.ParquetFile.read_row_group

    def note(self: object, number: int, columns: list[str]) -> object:
        groups.extend([number] if columns == ["image"] else [])
        return read(self, number, columns)

    monkeypatch.setattr(parquet.ParquetFile, "read_row_group", note)
    assert load_outputs(tmp_path, [rows[4], rows[1], rows[2]]) == [b"\4", b"\1", b"\2"]
    assert sorted(groups) == [1, 2, 4]


def test_every_format_of_the_plan_has_a_writer_and_no_other_has() -> None:
    assert set(FORMATS) == set(get_args(Format))


def test_a_second_writer_of_a_format_is_refused() -> None:
    with pytest.raises(AssertionError, match="format parquet is registered twice"):
        register("parquet")(FORMATS["parquet"])


def test_a_row_of_an_unknown_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        MediaError, match=r"00000\.zip is not an archive of a known format \(folder, parquet, webdataset\)"
    ):
        load_outputs(tmp_path, [{"file": "00000.zip", "member": "a.png"}])
