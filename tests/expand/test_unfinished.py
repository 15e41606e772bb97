"""A job that goes on takes the complete samples of a tar file that was not finished, and makes the others."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fomaug import Animator, DrivingPool, expand
from fomaug.expand import ExpandReport, copies
from fomaug.expand.formats import tar
from fomaug.expand.formats.tar import TarWriter
from fomaug.expand.output import PARTS
from fomaug.expand.samples import Sample
from fomaug.files import is_temporary, temporary_of

Contents = Callable[[Path], dict[str, bytes]]
Run = Callable[..., ExpandReport]
ARCHIVE = "train-00000.tar"


@pytest.fixture
def run(tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path) -> Run:
    def call(out: str, **options: object) -> ExpandReport:
        options = {"gates": "off", "copies": 2, "samples_per_shard": 10, "batch_size": 2, "workers": 1, **options}
        given = {"model": tiny_model, "driving": tiny_pool, "format": "webdataset", "device": "cpu"}
        return expand(faces, tmp_path / out, **{**given, **options})

    return call


@pytest.fixture
def animated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the pictures that are animated together, call by call."""
    move, calls = copies.move, []

    def count(augment: object, pictures: list, *args: object, **options: object) -> object:
        calls.append(len(pictures))
        return move(augment, pictures, *args, **options)

    monkeypatch.setattr(copies, "move", count)
    return calls


def leave_unfinished(run: Run, out: str, content: bytes) -> None:
    """Prepare a job, and put down what a killed process may have left of its archive."""
    prepared = run(out, prepare=True)
    temporary_of(prepared.out / ARCHIVE).write_bytes(content)


def end_of(archive: Path, number: int) -> int:
    """Return the end of the rows of so many copies."""
    with tarfile.open(archive) as opened:
        rows = [member for member in opened if member.name.endswith(".json")]
    return rows[number - 1].offset_data + rows[number - 1].size


@pytest.mark.parametrize(
    ("whole_copies", "more", "units"), [(4, 0, 3), (4, 700, 3), (5, 0, 3), (0, 300, 5), (8, -1, 2)]
)
def test_complete_samples_are_taken_over(
    run: Run, contents: Contents, animated: list[int], whole_copies: int, more: int, units: int
) -> None:
    whole = run("whole")
    content = (whole.out / ARCHIVE).read_bytes()
    end = (end_of(whole.out / ARCHIVE, whole_copies) if whole_copies else 0) + more
    leave_unfinished(run, "broken", content[:end])
    animated.clear()
    report = run("broken", resume=True)
    assert len(animated) == units
    assert (report.new, report.written) == (10, 10)
    assert contents(report.out) == contents(whole.out)


def test_a_hole_in_the_file_ends_what_is_taken_over(run: Run, contents: Contents, animated: list[int]) -> None:
    whole = run("whole")
    content = bytearray((whole.out / ARCHIVE).read_bytes())
    with tarfile.open(whole.out / ARCHIVE) as opened:
        third = [member for member in opened if member.name.endswith((".png", ".jpg"))][2]
    content[third.offset_data + 40 : third.offset_data + 80] = bytes(40)
    leave_unfinished(run, "broken", bytes(content))
    animated.clear()
    report = run("broken", resume=True)
    assert len(animated) == 4, "only the first unit is before the damage"
    assert contents(report.out) == contents(whole.out)


def test_the_samples_of_another_archive_are_not_taken(run: Run, contents: Contents, animated: list[int]) -> None:
    whole = run("whole", samples_per_shard=4)
    leave_unfinished(
        lambda out, **options: run(out, samples_per_shard=4, **options),
        "broken",
        (whole.out / "train-00001.tar").read_bytes(),
    )
    animated.clear()
    report = run("broken", samples_per_shard=4, resume=True)
    assert len(animated) == 5
    assert contents(report.out) == contents(whole.out)


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_file_is_removed_and_not_written_to(run: Run, contents: Contents, tmp_path: Path, kind: str) -> None:
    whole = run("whole")
    leave_unfinished(run, "broken", b"")
    temporary = temporary_of(tmp_path / "broken" / ARCHIVE)
    temporary.unlink()
    if kind == "link":
        temporary.symlink_to(tmp_path / "elsewhere.tar")
    else:
        os.mkfifo(temporary)  # a writer would wait for a reader without end
    report = run("broken", resume=True)
    assert not (tmp_path / "elsewhere.tar").exists()
    assert contents(report.out) == contents(whole.out)


def test_a_job_can_be_interrupted_before_its_first_archive(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **options: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(copies, "move", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run("out")


def test_a_file_survives_an_interrupt_while_it_is_read(
    run: Run, contents: Contents, animated: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run("whole")
    leave_unfinished(run, "broken", (whole.out / ARCHIVE).read_bytes())

    def interrupt(*_: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tar, "_complete", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run("broken", resume=True)
    animated.clear()
    report = run("broken", resume=True)
    assert len(animated) == 1, "the picture of the other archive"
    assert contents(report.out) == contents(whole.out)


def test_samples_survive_an_interrupt_while_they_are_copied(
    run: Run, contents: Contents, animated: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run("whole")
    content = (whole.out / ARCHIVE).read_bytes()
    leave_unfinished(run, "broken", content[: end_of(whole.out / ARCHIVE, 6)])
    add, added = TarWriter.add, 0

    def interrupt(self: TarWriter, sample: Sample) -> None:
        nonlocal added
        added += 1
        if added == 4:
            raise KeyboardInterrupt
        add(self, sample)

    with monkeypatch.context() as patch:
        patch.setattr(TarWriter, "add", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run("broken", resume=True)
    animated.clear()
    report = run("broken", resume=True)
    assert len(animated) == 2, "the last picture, and that of the other archive"
    assert contents(report.out) == contents(whole.out)


def test_samples_without_a_job_are_not_taken(run: Run, contents: Contents, tmp_path: Path) -> None:
    """Settings that are not recorded cannot be compared."""
    other, whole = run("other", seed=1), run("whole")
    temporary = temporary_of(tmp_path / "broken" / ARCHIVE)
    temporary.parent.mkdir()
    temporary.write_bytes((other.out / ARCHIVE).read_bytes())
    report = run("broken", resume=True)
    assert contents(report.out) == contents(whole.out)


def test_units_with_rejected_copies_are_made_again(run: Run, contents: Contents, animated: list[int]) -> None:
    options = {"gates": {"max_keypoint_error": 9.0, "max_residual": 9.0, "min_sharpness": 0.4}, "tries": 1}
    whole = run("whole", **options)
    leave_unfinished(lambda out, **more: run(out, **options, **more), "broken", (whole.out / ARCHIVE).read_bytes())
    animated.clear()
    report = run("broken", resume=True, **options)
    assert (report.written, report.rejected) == (whole.written, whole.rejected)
    assert report.rejected
    assert 1 < len(animated) < 5, "the picture of the other archive, and units with rejected copies"
    assert contents(report.out) == contents(whole.out)


@pytest.mark.parametrize("format", ["webdataset", "parquet"])
def test_an_interrupted_job_keeps_its_unfinished_tar_file(
    run: Run, contents: Contents, animated: list[int], monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    whole = run("whole", format=format)
    count, calls = copies.move, 0

    def interrupt(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return count(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(copies, "move", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run("broken", format=format)
    out = whole.out.with_name("broken")
    assert not list(out.glob("*.tar")), "an unfinished file has no final name"
    assert len([path for path in out.iterdir() if is_temporary(path)]) == (format == "webdataset")
    animated.clear()
    report = run("broken", format=format, resume=True)
    assert len(animated) == (5 if format == "parquet" else 3), "four units were animated, and two of them stored"
    assert contents(report.out) == contents(whole.out)
    assert not (out / PARTS).exists()
