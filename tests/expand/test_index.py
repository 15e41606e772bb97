"""Rows in any files and any order are joined in planned order, by an index that does not hold them."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fomaug.errors import ResumeError
from fomaug.expand.index import RowIndex
from fomaug.expand.manifest import Part, Row, list_parts, new_part_name, read_job_rows, read_rows, to_line
from fomaug.expand.output import MANIFEST, PARTS, REJECTED
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.shards import Division
from fomaug.expand.sources import SourceFile

MOTION = {"skipped": False, "clip": "nod", "clip_hash": "0", "driver": "", "strength": 0.5}


def division(sources: int = 6, copies: int = 3, **options: Any) -> Division:
    plan = ExpandPlan("data", "out", copies=copies, **{"batch_size": 4, "samples_per_shard": 6, **options})
    return Division(plan, [SourceFile(Path("data"), f"a/{number:06d}.png", "a") for number in range(sources)])


def row_of(copy_id: tuple[str, int], **values: Any) -> Row:
    key, copy = copy_id
    size = {"bytes": 9, "size": [48, 48]}
    names = {"file": f"{key}_{copy}", "label": "a", "split": None, "source_hash": "0"}
    return {"source": key, "copy": copy, **size, **names, "motion": MOTION, **values}


def rejected_of(copy_id: tuple[str, int]) -> Row:
    return {"source": copy_id[0], "copy": copy_id[1], "attempts": 3, "reasons": ["folded 0.3"], "scores": {}}


def index_of(out: Path, planned: Division) -> RowIndex:
    return RowIndex(out, planned, lambda row: row["bytes"] > 0, lambda *_: True)


def copy_ids(planned: Division) -> list[tuple[str, int]]:
    return [copy_id for number in range(planned.num_groups) for copy_id in planned.group(number).copy_ids]


def write_part(out: Path, rows: list[Row]) -> Path:
    part = Part(out, new_part_name())
    part.append(rows)
    part.close()
    return part.path


@pytest.mark.parametrize("seed", range(5))
def test_rows_of_any_workers_are_joined_in_planned_order(tmp_path: Path, seed: int) -> None:
    planned, rng = division(), np.random.default_rng(seed)
    ids = copy_ids(planned)
    rows = [rejected_of(copy_id) if number % 5 == 0 else row_of(copy_id) for number, copy_id in enumerate(ids)]
    shares: list[list[Row]] = [[], [], []]
    for row in rng.permutation(np.array(rows, object)):
        shares[rng.integers(3)].append(row)
        if rng.random() < 0.3:
            shares[rng.integers(3)].append(row)  # written twice: a worker was killed after it had recorded the row
    for share in shares:
        path = write_part(tmp_path, share)
        with path.open("a") as file:
            file.write('{"source": "a/0000')  # torn
    (tmp_path / MANIFEST).write_text("".join(to_line(row) for row in rows[6:9] if "file" in row))
    index = index_of(tmp_path, planned)
    index.scan()
    assert bytes(index.recorded) == b"\1" * 18
    assert index.counts() == (14, 4)
    assert index.count_labels() == (("a", 14),)
    index.join()
    assert list(read_rows(tmp_path / MANIFEST)) == [row for row in rows if "file" in row]
    assert list(read_rows(tmp_path / REJECTED)) == [row for row in rows if "reasons" in row]
    assert not (tmp_path / PARTS).exists()


def test_rows_without_their_files_are_left_out(tmp_path: Path) -> None:
    planned = division()
    rows = [row_of(copy_id, bytes=0 if number == 2 else 9) for number, copy_id in enumerate(copy_ids(planned))]
    write_part(tmp_path, rows)
    index = index_of(tmp_path, planned)
    index.scan()
    assert [position for position, found in enumerate(index.recorded) if not found] == [2]
    index.join()
    assert list(read_rows(tmp_path / MANIFEST)) == rows[:2] + rows[3:]


def test_a_manifest_in_order_is_not_written_again(tmp_path: Path) -> None:
    planned = division()
    (tmp_path / MANIFEST).write_text("".join(map(to_line, map(row_of, copy_ids(planned)))))
    before = (tmp_path / MANIFEST).stat()
    index = index_of(tmp_path, planned)
    index.scan()
    index.join()
    assert (tmp_path / MANIFEST).stat().st_ino == before.st_ino
    assert not (tmp_path / REJECTED).exists()


def test_the_rows_of_a_source_are_found(tmp_path: Path) -> None:
    planned = division()
    rows = list(map(row_of, copy_ids(planned)))
    write_part(tmp_path, rows[::-1])
    index = index_of(tmp_path, planned)
    index.scan()
    assert index.rows_of("a/000001.png", 2) == rows[3:5]
    assert index.rows_of("a/none.png", 2) == []


def test_a_damaged_line_of_a_part_is_named(tmp_path: Path) -> None:
    path = write_part(tmp_path, [row_of(("a/000000.png", 0))])
    path.write_text("what?\n" + path.read_text())
    with pytest.raises(ResumeError, match=r"\.jsonl, line 1 is damaged"):
        index_of(tmp_path, division()).scan()


def test_rows_of_unfinished_workers_are_read(tmp_path: Path) -> None:
    ids = copy_ids(division())
    (tmp_path / MANIFEST).write_text(to_line(row_of(ids[0])))
    write_part(tmp_path, [row_of(ids[1]), rejected_of(ids[2])])
    assert [row["copy"] for row in read_job_rows(tmp_path)] == [0, 1]
    assert [row["copy"] for row in read_job_rows(tmp_path, REJECTED)] == [2]
    assert len(list_parts(tmp_path)) == 1


def test_the_index_needs_few_bytes_for_a_row(tmp_path: Path) -> None:
    planned = division(sources=2000, copies=10, batch_size=16, samples_per_shard=1000)
    rows = "".join(to_line(row_of(copy_id, padding="x" * 600)) for copy_id in copy_ids(planned))
    (tmp_path / MANIFEST).write_text(rows)
    del rows
    tracemalloc.start()
    try:
        index = index_of(tmp_path, planned)
        index.scan()
        index.count_labels()
        index.join()
        assert tracemalloc.get_traced_memory()[1] < 20_000 * 150 + (4 << 20)
    finally:
        tracemalloc.stop()
    assert json.loads((tmp_path / MANIFEST).read_text().splitlines()[-1])["copy"] == 9
