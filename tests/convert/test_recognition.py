"""RecordIO and verification sets, read back by readers of the published layouts."""

from __future__ import annotations

import io
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fomaug import Animator, DrivingPool
from fomaug.convert import ConvertReport, convert
from fomaug.convert.formats.pairs import draw_pairs
from fomaug.convert.formats.recordio import MAGIC, encode_record, pack_payload
from fomaug.errors import LabelError
from fomaug.expand import expand
from fomaug.media import read_picture, save_image

Convert = Callable[..., ConvertReport]
Make = Callable[..., Any]
WORD = struct.pack("<I", MAGIC)


def read_payload(file: io.BufferedIOBase) -> bytes:
    """Read one payload, and join its parts with the magic number between them."""
    parts = []
    while True:
        magic, word = struct.unpack("<II", file.read(8))
        assert magic == MAGIC
        kind, length = word >> 29, word & ((1 << 29) - 1)
        parts.append(file.read(length))
        assert file.read(-length % 4).strip(b"\0") == b""
        assert kind in ((0, 1) if len(parts) == 1 else (2, 3))
        if kind in (0, 3):
            return WORD.join(parts)


def unpack(payload: bytes) -> tuple[list[float], int, bytes]:
    flag, label, number, _ = struct.unpack_from("<IfQQ", payload)
    content = payload[24:]
    return (
        ([label], number, content)
        if flag == 0
        else (list(struct.unpack_from(f"<{flag}f", content)), number, content[4 * flag :])
    )


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"a",
        b"abcd",
        WORD,
        b"abcd" + WORD,
        b"ab" + WORD + b"cd",
        WORD + WORD + b"x",
        b"abcd" + WORD + b"ef" + WORD + b"gh" + WORD,
        WORD[2:] + WORD[:2] + WORD + b"1",
    ],
)
def test_a_record_holds_any_bytes(payload: bytes) -> None:
    record = encode_record(payload)
    file = io.BytesIO(record + b"rest")
    assert read_payload(file) == payload
    assert file.read() == b"rest"
    assert len(record) % 4 == 0
    # A reader that looks for the beginning of a record finds the magic number nowhere else.
    parts = payload.count(WORD) if payload.count(WORD) and payload.index(WORD) % 4 == 0 else 0
    aligned = [at for at in range(0, len(record), 4) if record[at : at + 4] == WORD]
    assert len(aligned) <= 1 + parts + payload.count(WORD)
    for at in aligned:
        assert struct.unpack_from("<I", record, at + 4)[0] >> 29 in (0, 1, 2, 3)


def test_random_payloads_full_of_magic_numbers_survive(rng: np.random.Generator) -> None:
    for _ in range(200):
        pieces = [WORD, b"\0", b"ab", b"\x0a\x23", b"\xd7\xce", b"wxyz"]
        payload = b"".join(pieces[index] for index in rng.integers(0, len(pieces), 12))
        record = encode_record(payload)
        assert read_payload(io.BytesIO(record)) == payload


def test_headers_have_one_label_or_several() -> None:
    assert unpack(pack_payload((3.0,), 7, b"picture")) == ([3.0], 7, b"picture")
    assert unpack(pack_payload((3.0, 9.0), 0, b"")) == ([3.0, 9.0], 0, b"")


def test_recordio_is_read_by_its_index(labelled: Make, to: Convert) -> None:
    data = labelled(5)
    report = to(data, "recordio", align=112)
    lines = (report.dest / "train.idx").read_text().splitlines()
    offsets = {int(number): int(offset) for number, offset in (line.split("\t") for line in lines)}
    with (report.dest / "train.rec").open("rb") as file:

        def record(number: int) -> tuple[list[float], int, bytes]:
            file.seek(offsets[number])
            return unpack(read_payload(file))

        (first, end), number, nothing = record(0)
        assert (number, nothing) == (0, b"")
        pictures = len(data.each())
        assert (first, end) == (pictures + 1, pictures + 3)
        assert sorted(offsets) == list(range(int(end)))
        labels = []
        for number in range(1, int(first)):
            (label,), found, content = record(number)
            assert found == number
            picture = Image.open(io.BytesIO(content))
            assert (picture.format, picture.size) == ("JPEG", (112, 112))
            labels.append(label)
        for identity, index in enumerate(range(int(first), int(end))):
            (low, high), _, _ = record(index)
            assert set(labels[int(low) - 1 : int(high) - 1]) == {identity}
            assert labels.count(identity) == high - low
    assert (report.dest / "property").read_text() == "2,112,112\n"
    listed = [line.split("\t") for line in (report.dest / "train.lst").read_text().splitlines()]
    assert [int(label) for _, _, label in listed] == labels
    assert {aligned for aligned, _, _ in listed} == {"1"}


def test_the_records_follow_each_other_without_gaps(labelled: Make, to: Convert) -> None:
    report = to(labelled(5), "recordio", align=112)
    size = (report.dest / "train.rec").stat().st_size
    with (report.dest / "train.rec").open("rb") as file:
        starts = []
        while file.tell() < size:
            starts.append(file.tell())
            read_payload(file)
    offsets = [int(line.split("\t")[1]) for line in (report.dest / "train.idx").read_text().splitlines()]
    assert starts == offsets


def test_pictures_of_several_sizes_need_alignment(labelled: Make, to: Convert) -> None:
    with pytest.raises(LabelError, match="recordio needs pictures of one size, but this dataset has several"):
        to(labelled(), "recordio")


@pytest.fixture
def held_out(tmp_path: Path, tiny_model: Animator, tiny_pool: DrivingPool) -> Path:
    """Write pictures of three persons for training and of others for testing, each in a different colour."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 1), ("test", 3)):
        for person in ("anna b", "ben", "carla"):
            for number in range(count):
                colour = rng.integers(0, 255, 3).astype(np.uint8)
                save_image(tmp_path / f"set/{split}/{person}/{number}.png", np.tile(colour, (48, 48, 1)))
    expand(tmp_path / "set", tmp_path / "out", driving=tiny_pool, model=tiny_model, gates="off", copies=1)
    return tmp_path / "out"


def quiet(note: str) -> None:
    del note


def test_a_verification_bin_holds_pairs_of_held_out_originals(held_out: Path, tmp_path: Path) -> None:
    report = convert(held_out, tmp_path / "bin", to="verification", on_note=quiet)
    with (report.dest / "verification.bin").open("rb") as file:
        pictures, same = pickle.load(file)
    assert len(pictures) == 2 * len(same)
    assert sum(same) == len(same) / 2 == 9
    originals = [read_picture(path).rgb.mean((0, 1)) for path in (tmp_path / "set/test").rglob("*.png")]
    for picture in pictures:
        found = Image.open(io.BytesIO(picture))
        assert found.format == "JPEG"
        near = min(np.abs(np.subtract(mean, np.asarray(found).mean((0, 1)))).max() for mean in originals)
        assert near < 3


def test_torchvision_reads_lfw_pairs(held_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lfw = pytest.importorskip("torchvision.datasets.lfw")
    report = convert(held_out, tmp_path / "lfw", to="lfw-pairs", on_note=quiet)
    (report.dest / "lfw-py").mkdir()
    (report.dest / "lfw").rename(report.dest / "lfw-py" / "lfw_funneled")
    (report.dest / "pairs.txt").rename(report.dest / "lfw-py" / "pairs.txt")
    monkeypatch.setattr(lfw.LFWPairs, "_check_integrity", lambda self: True)
    read = lfw.LFWPairs(str(report.dest), split="10fold", image_set="funneled")
    assert len(read) == 18
    assert sum(same for _, _, same in (read[index] for index in range(len(read)))) == 9
    names = {Path(path).parent.name for pair in read.pair_names for path in (f"{pair[0]}/x", f"{pair[1]}/x")}
    assert names == {"anna_b", "ben", "carla"}


def test_pairs_are_balanced_distinct_and_always_the_same() -> None:
    counts = {"a": 5, "b": 3, "c": 1}
    folds = draw_pairs(counts, folds=5)
    assert folds == draw_pairs(counts, folds=5)
    assert len(folds) == 5 and len({len(fold) for fold in folds}) == 1
    pairs = [pair for fold in folds for pair in fold]
    assert len(set(pairs)) == len(pairs)
    for fold in folds:
        assert sum(pair.is_same for pair in fold) * 2 == len(fold)
    for one, other in pairs:
        assert one[1] < counts[one[0]] and other[1] < counts[other[0]] and one != other


def test_too_few_held_out_originals_are_an_error(labelled: Make, to: Convert) -> None:
    with pytest.raises(LabelError, match="verification needs held-out originals"):
        to(labelled(), "verification")
    with pytest.raises(LabelError, match="pairs need at least two persons"):
        draw_pairs({"a": 1, "b": 1})


def test_recordio_leaves_other_splits_out(held_out: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    report = convert(held_out, tmp_path / "rec", to="recordio", on_note=notes.append)
    assert len((report.dest / "train.lst").read_text().splitlines()) == 6
    assert any(note.startswith("9 pictures of other splits are left out") for note in notes)


@pytest.mark.parametrize("format", ["verification", "lfw-pairs"])
def test_a_damaged_held_out_original_is_named_and_all_others_are_used(
    held_out: Path, tmp_path: Path, format: str
) -> None:
    damaged = tmp_path / "set/test/ben/1.png"
    damaged.write_bytes(damaged.read_bytes()[:-40])
    report = convert(held_out, tmp_path / "pairs", to=format, on_note=quiet)
    assert [failure.source for failure in report.failed] == ["ben/1.png"]
    if format == "verification":
        with (report.dest / "verification.bin").open("rb") as file:
            _, same = pickle.load(file)
        assert sum(same) == 3 + 3 + 1, "two persons with three pictures, one with two"
    else:
        assert sorted(path.name for path in (report.dest / "lfw/ben").iterdir()) == ["ben_0001.jpg", "ben_0002.jpg"]


@pytest.mark.parametrize("format", ["verification", "lfw-pairs"])
def test_the_report_of_pairs_counts_only_held_out_originals(held_out: Path, tmp_path: Path, format: str) -> None:
    report = convert(held_out, tmp_path / "pairs", to=format, on_note=quiet)
    assert (report.originals, report.copies) == (len(list((tmp_path / "set/test").rglob("*.png"))), 0)


def test_the_report_of_recordio_counts_the_records(held_out: Path, tmp_path: Path) -> None:
    report = convert(held_out, tmp_path / "rec", to="recordio", on_note=quiet)
    rows = (report.dest / "train.lst").read_text().splitlines()
    assert report.originals + report.copies == len(rows)
    assert report.originals == len(list((tmp_path / "set/train").rglob("*.png")))


@pytest.mark.parametrize("format", ["verification", "lfw-pairs"])
def test_too_few_persons_for_pairs_are_an_error_before_the_work(held_out: Path, tmp_path: Path, format: str) -> None:
    persons = sorted((tmp_path / "set/test").iterdir())
    for person in persons[1:]:
        shutil.rmtree(person)
    with pytest.raises(LabelError, match=f"pairs need at least two persons.*'{persons[0].name}': 3"):
        convert(held_out, tmp_path / "pairs", to=format, on_note=quiet)
    assert not (tmp_path / "pairs").exists()


def test_pairs_without_alignment_have_a_note(held_out: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    convert(held_out, tmp_path / "pairs", to="verification", on_note=notes.append)
    assert any("align=112" in note for note in notes)
