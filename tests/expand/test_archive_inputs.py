"""Tar and parquet files from strangers: nothing is unpacked, names stay inside, sizes are bounded, flaws are named."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fomaug import Animator, DrivingPool
from fomaug.errors import ArgumentError, ResumeError
from fomaug.expand import expand
from fomaug.expand.dataset import Found, find_sources, listed_sources
from fomaug.expand.readers import ParquetReader
from fomaug.media import encode_image

Face = Callable[..., object]


def write_tar(path: Path, members: list[tuple[str, bytes]], **fields: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for field, value in fields.items():
                setattr(member, field, value)
            archive.addfile(member, io.BytesIO(content))
    return path


def list_sources(path: Path, split: str = "all") -> Found:
    return find_sources(path, out=path.parent / "out", split=split)


def keys(found: Found) -> list[str]:
    return [source.key for source in found.chosen]


@pytest.fixture
def picture(face: Face) -> bytes:
    return encode_image(face(0), "png")


def test_names_of_members_do_not_leave_the_output(
    tmp_path: Path, picture: bytes, tiny_model: Animator, tiny_pool: DrivingPool
) -> None:
    names = ["../../up.png", "/abs/olute.png", "a/../../b.png", "x\\..\\y.png"]
    path = write_tar(tmp_path / "in" / "t.tar", [(name, picture) for name in names])
    report = expand(path, tmp_path / "deep" / "out", model=tiny_model, driving=tiny_pool, copies=1, gates="off")
    assert report.written == 4
    made = set(tmp_path.rglob("*_m000*"))
    assert len(made) == 4
    assert all(path.is_relative_to(tmp_path / "deep" / "out") for path in made)


def test_links_and_hidden_members_are_not_sources(tmp_path: Path, picture: bytes) -> None:
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        for name, kind in (("link.png", tarfile.SYMTYPE), ("pipe.png", tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        for name in ("a.png", "._a.png", ".git/b.png"):
            member = tarfile.TarInfo(name)
            member.size = len(picture)
            archive.addfile(member, io.BytesIO(picture))
    found = list_sources(tmp_path / "t.tar")
    assert keys(found) == ["a.png"]
    assert [failure.source.rpartition(" ")[2] for failure in found.failed] == ["link.png", "pipe.png"]


def test_a_member_with_too_large_a_size_ends_the_listing(tmp_path: Path, picture: bytes) -> None:
    path = write_tar(tmp_path / "t.tar", [("a.png", picture)])
    content = bytearray(path.read_bytes())
    content[124:136] = b"77777777777\0"
    member = tarfile.TarInfo("a.png")
    member.size = 8 << 30
    content[:512] = member.tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(content)
    with pytest.raises(ArgumentError, match=r"t\.tar cannot be read as a tar file"):
        list_sources(path)


def header(**fields: object) -> bytes:
    member = tarfile.TarInfo("a.png")
    for field, value in fields.items():
        setattr(member, field, value)
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (header(size=-1024), "negative size|claims -"),
        (header(size=-1024, type=tarfile.XHDTYPE), "claims -|negative"),
        (header(size=1 << 30, type=tarfile.GNUTYPE_LONGNAME), "claims 1,073,741,824 bytes"),
        (header(size=0, type=tarfile.GNUTYPE_LONGNAME) * 5000, "cannot be read as a tar file"),
    ],
)
def test_headers_that_never_end_or_fill_memory_are_refused(
    tmp_path: Path, picture: bytes, headers: bytes, reason: str
) -> None:
    path = write_tar(tmp_path / "t.tar", [("0.png", picture)])
    content = path.read_bytes()
    end = 512 + (len(picture) + 511) // 512 * 512
    path.write_bytes(content[:end] + headers + content)
    with pytest.raises(ArgumentError, match=reason):
        list_sources(path)


@pytest.mark.parametrize("kind", ["gzip", "text", "empty"])
def test_other_files_than_tar_files_are_refused(tmp_path: Path, picture: bytes, kind: str) -> None:
    path = write_tar(tmp_path / "t.tar", [("a.png", picture)])
    content = {"gzip": gzip.compress(path.read_bytes()), "text": b"faces " * 200, "empty": b""}[kind]
    path.write_bytes(content)
    with pytest.raises(ArgumentError, match=r"compressed ones must be unpacked first"):
        list_sources(path)


def test_an_archive_that_was_cut_later_fails_picture_by_picture(
    tmp_path: Path, picture: bytes, tiny_model: Animator, tiny_pool: DrivingPool
) -> None:
    path = write_tar(tmp_path / "t.tar", [("a.png", picture), ("b.png", picture)])
    options = {"model": tiny_model, "driving": tiny_pool, "copies": 1, "gates": "off"}
    expand(path, tmp_path / "out", prepare=True, **options)
    path.write_bytes(path.read_bytes()[: 512 + len(picture) + 1])
    report = expand(path, tmp_path / "out", shard="0/1", **options)
    assert report.written == 1
    assert [(failure.source, "it ends before" in failure.reason) for failure in report.failed] == [("b.png", True)]


def test_a_sample_is_labelled_by_its_own_files(tmp_path: Path, picture: bytes) -> None:
    members = [
        ("0.jpg", picture),
        ("0.json", b'{"label": "glad", "other": [1]}'),
        ("0.seg.png", picture),
        ("1.left.png", picture),
        ("1.right.png", picture),
        ("1.cls", b"3"),
        ("2.png", picture),
        ("2.json", b"[]"),
        ("3.png", picture),
        ("3.json", b"{"),
        ("4.png", picture),
        ("4.cls", b"x" * (2 << 20)),
        ("5.png", picture),
        ("5.json", b'{"label": "../up"}'),
    ]
    found = list_sources(write_tar(tmp_path / "t.tar", members))
    assert [(source.key, source.label) for source in found.chosen] == [
        ("0.jpg", "glad"),
        ("1.left.png", "3"),
        ("1.right.png", "3"),
        ("2.png", ""),
    ]
    assert [failure.source.rpartition(" ")[2] for failure in found.failed] == ["3.png", "4.png", "5.png"]


def test_archives_with_equal_names_are_distinguished(tmp_path: Path, picture: bytes) -> None:
    for name in ("a", "b"):
        write_tar(tmp_path / "tars" / f"{name}.tar", [("0.png", picture), (f"{name}.png", picture)])
    assert keys(list_sources(tmp_path / "tars")) == ["a/0.png", "a/a.png", "b/0.png", "b/b.png"]
    assert keys(list_sources(tmp_path / "tars" / "a.tar")) == ["0.png", "a.png"]


def test_a_name_twice_in_one_archive_is_used_once(tmp_path: Path, picture: bytes) -> None:
    found = list_sources(write_tar(tmp_path / "t.tar", [("0.png", picture), ("1.png", picture), ("0.png", picture)]))
    assert keys(found) == ["0.png", "1.png"]
    assert "of another picture" in found.failed[0].reason


@pytest.mark.parametrize("pattern", ["s-{00..02}.tar", "s-*.tar", "s-0?.tar"])
def test_patterns_name_archives(tmp_path: Path, picture: bytes, pattern: str) -> None:
    for number in range(3):
        write_tar(tmp_path / f"s-{number:02d}.tar", [(f"{number}.png", picture)])
    assert keys(list_sources(tmp_path / pattern)) == ["0.png", "1.png", "2.png"]


def test_a_missing_archive_is_named(tmp_path: Path, picture: bytes) -> None:
    write_tar(tmp_path / "s-0.tar", [("0.png", picture)])
    with pytest.raises(ArgumentError, match=r"s-1\.tar cannot be read: No such file"):
        list_sources(tmp_path / "s-{0..1}.tar")
    with pytest.raises(ArgumentError, match="no file fits"):
        list_sources(tmp_path / "x-*.tar")
    with pytest.raises(ArgumentError, match="not a range of numbers"):
        list_sources(tmp_path / "s-{0..9999999999}.tar")


def test_archives_name_their_split(tmp_path: Path, picture: bytes) -> None:
    write_tar(tmp_path / "tars" / "train-000.tar", [("0.png", picture)])
    write_tar(tmp_path / "tars" / "val" / "000.tar", [("1.png", picture)])
    write_tar(tmp_path / "tars" / "rest.tar", [("2.png", picture)])
    found = list_sources(tmp_path / "tars", "train")
    assert (keys(found), [source.key for source in found.unsplit]) == (["0.png"], ["2.png"])
    assert keys(list_sources(tmp_path / "tars", "val")) == ["1.png"]


def test_what_expand_writes_is_an_input(
    tmp_path: Path, faces: Path, tiny_model: Animator, tiny_pool: DrivingPool
) -> None:
    options = {"model": tiny_model, "driving": tiny_pool, "copies": 2, "gates": "off"}
    for format in ("webdataset", "parquet"):
        if format == "parquet":
            pytest.importorskip("pyarrow")
        out = expand(faces, tmp_path / format, format=format, **options).out
        found = list_sources(out)
        assert [source.key for source in found.chosen][:2] == ["anna/1_m000.png", "anna/1_m001.png"]
        assert {source.label for source in found.chosen} == {"anna", "ben", "carla"}


def test_a_parquet_file_without_pictures_is_refused(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"name": ["a"], "size": [3]}), tmp_path / "t.parquet")
    with pytest.raises(
        ArgumentError, match="no column of pictures, as bytes or as a struct with bytes, but name, size"
    ):
        list_sources(tmp_path / "t.parquet")
    parquet.write_table(arrow.table({"image": arrow.nulls(1_000_000, arrow.binary())}), tmp_path / "t.parquet")
    with pytest.raises(ArgumentError, match="so it holds no pictures"):
        list_sources(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(ArgumentError, match="cannot be read as a parquet file"):
        list_sources(tmp_path / "t.parquet")


def test_rows_of_a_large_group_are_read_in_any_order_with_little_memory(tmp_path: Path) -> None:
    """One cell of 8 MB stands for 400 rows; together they would take 3.2 GB."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    cells = [bytes([number % 2]) * (8 << 20) for number in range(2)]
    indices = arrow.array([row % 2 for row in range(400)], arrow.int32())
    table = arrow.table({"png": arrow.DictionaryArray.from_arrays(indices, arrow.array(cells))})
    parquet.write_table(table, tmp_path / "t.parquet", dictionary_pagesize_limit=1 << 28, store_schema=False)
    assert (tmp_path / "t.parquet").stat().st_size < 100 << 20
    readers = [ParquetReader(str(tmp_path / "t.parquet"), 0, row, "png") for row in range(401)]
    before = arrow.default_memory_pool().max_memory()
    assert [readers[row].read()[0] for row in (0, 1, 39, 38, 399, 2, 3)] == [0, 1, 1, 0, 1, 0, 1]
    assert arrow.default_memory_pool().max_memory() - before < 100 << 20
    with pytest.raises(OSError, match="no bytes"):
        readers[400].read()


def test_rows_of_a_parquet_file_have_keys_and_labels(tmp_path: Path, picture: bytes) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = arrow.table({"png": [picture, None, picture], "cls": [0.0, 1.0, 2.5]})
    parquet.write_table(table, tmp_path / "t.parquet", row_group_size=2)
    found = list_sources(tmp_path / "t.parquet")
    assert [(source.key, source.label) for source in found.chosen] == [("t/0000-000000", "0"), ("t/0000-000001", "1")]
    assert found.chosen[0].read() == picture
    with pytest.raises(OSError, match="its cell has no bytes"):
        found.chosen[1].read()
    assert "a label must be" in found.failed[0].reason


@pytest.mark.parametrize(
    "reader",
    [["tar", "t.tar", -1, 3], ["tar", "t.tar", 1], ["tar", 1, 1, 1], ["pickle", "x"], ["file", True], [], "file", 3],
)
def test_a_saved_reader_of_another_form_is_refused(tmp_path: Path, reader: object) -> None:
    (tmp_path / "sources.jsonl").write_text(json.dumps(["a.png", "", "", 3, reader]) + "\n")
    with pytest.raises(ResumeError, match=r"sources\.jsonl is damaged"):
        listed_sources(tmp_path, tmp_path)


def test_what_datasets_writes_is_an_input(
    faces: Path, tmp_path: Path, tiny_model: Animator, tiny_pool: DrivingPool
) -> None:
    """A Parquet file and an image folder of the real package, with the names of its classes."""
    datasets = pytest.importorskip("datasets")
    paths = sorted(faces.rglob("*.png"))
    labels = datasets.ClassLabel(names=["anna", "ben", "carla"])
    features = datasets.Features({"image": datasets.Image(), "label": labels})
    pictures = [{"bytes": path.read_bytes(), "path": path.relative_to(faces).as_posix()} for path in paths]
    rows = {"image": pictures, "label": [path.parent.name for path in paths]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    found = list_sources(tmp_path / "data")
    assert [(source.label, source.split) for source in found.chosen] == [(path.parent.name, "train") for path in paths]
    assert [source.read() for source in found.chosen] == [path.read_bytes() for path in paths]
    options = {"model": tiny_model, "driving": tiny_pool, "copies": 1, "gates": "off"}
    assert expand(tmp_path / "data", tmp_path / "out", **options).written == len(paths)


def test_an_image_folder_that_datasets_reads_has_its_labels(faces: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    keys = sorted(path.relative_to(faces).as_posix() for path in faces.rglob("*.*"))
    lines = [json.dumps({"file_name": key, "label": f"person {number}"}) for number, key in enumerate(keys)]
    (faces / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    theirs = datasets.load_dataset("imagefolder", data_dir=str(faces), split="train", cache_dir=str(tmp_path / "cache"))
    ours = find_sources(faces, out=tmp_path / "out")
    assert {source.label for source in ours.chosen} == set(theirs["label"])
    assert (len(ours.chosen), ours.failed) == (len(keys), [])


def test_a_table_whose_columns_have_no_names_is_refused(as_parquet: Path, tmp_path: Path) -> None:
    path = next(as_parquet.glob("*.parquet")) if as_parquet.is_dir() else as_parquet
    path.write_bytes(path.read_bytes().replace(b"label", b"labe\xff"))
    with pytest.raises(ArgumentError, match="cannot be read"):
        find_sources(path, out=tmp_path / "out")
