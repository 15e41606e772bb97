"""Groups hold whole units, and every copy has its position."""

from __future__ import annotations

from pathlib import Path

import pytest

from fomaug.expand.plan import ExpandPlan
from fomaug.expand.shards import Division
from fomaug.expand.sources import SourceFile

SOURCES = [
    SourceFile(Path("data"), f"{split}/{label}/{number}.png", label, split)
    for split in ("train", "test")
    for label in ("a", "b")
    for number in range(5)
]


def groups_one_by_one(counts: list[int], batch_size: int, size: int) -> list[list[list[int]]]:
    """Gather sources to units, and units to groups, in the plainest way."""
    units: list[list[int]] = []
    for source, count in enumerate(counts):
        if units and sum(counts[other] for other in units[-1]) + count <= batch_size:
            units[-1].append(source)
        else:
            units.append([source])
    groups: list[list[list[int]]] = []
    for unit in units:
        copies = sum(counts[source] for source in unit)
        taken = sum(counts[source] for other in (groups[-1] if groups else []) for source in other)
        if groups and taken + copies <= size:
            groups[-1].append(unit)
        else:
            groups.append([unit])
    return groups


@pytest.mark.parametrize(("copies", "batch_size", "size"), [(3, 7, 20), (1, 16, 1000), (8, 4, 1), (5, 5, 11)])
def test_units_and_groups_are_filled_one_after_another(copies: int, batch_size: int, size: int) -> None:
    options = {"copies": copies, "batch_size": batch_size, "samples_per_shard": size, "format": "webdataset"}
    division = Division(ExpandPlan("data", "out", **options), SOURCES[:10])
    found = [
        [[SOURCES.index(job.source) for job in unit] for unit in division.group(number).units]
        for number in range(division.num_groups)
    ]
    assert found == groups_one_by_one([copies] * 10, batch_size, size)


def test_positions_follow_the_groups() -> None:
    plan = ExpandPlan("data", "out", copies=3, batch_size=7, samples_per_shard=10, format="webdataset", split="all")
    division = Division(plan, SOURCES)
    ids = [copy_id for number in range(division.num_groups) for copy_id in division.group(number).copy_ids]
    assert [division.position(copy_id) for copy_id in ids] == list(range(60))
    assert division.num_copies == division.count_copies(range(division.num_groups)) == 60
    assert {division.group(number).name.partition("/")[0] for number in range(division.num_groups)} == {"test", "train"}
    assert division.group(0).name == "test/00000"
    for copy_id in (("train/a/0.png", 3), ("train/a/0.png", -1), ("other.png", 0)):
        assert division.position(copy_id) is None


def test_small_jobs_in_folders_have_groups_for_many_workers() -> None:
    sources = [SourceFile(Path("data"), f"{number}.png") for number in range(300)]
    sizes = {}
    for format in ("folder", "webdataset"):
        division = Division(ExpandPlan("data", "out", copies=8, format=format), sources)
        sizes[format] = division.num_groups
    assert sizes == {"folder": 150, "webdataset": 3}


def test_a_job_without_copies_has_no_groups() -> None:
    assert Division(ExpandPlan("data", "out"), []).num_groups == 0
