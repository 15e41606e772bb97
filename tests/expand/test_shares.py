"""Shares of a job: numbers from the command line and from clusters, and joined results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fomaug import Animator, DrivingPool
from fomaug.errors import ArgumentError, ResumeError
from fomaug.expand import ExpandReport, finish, parse_share, summarise
from fomaug.expand.manifest import list_parts, read_job_rows
from fomaug.expand.output import locked
from fomaug.expand.tasks import Share

Contents = Callable[[Path], dict[str, bytes]]
FORMATS = ["folder", "webdataset", "parquet"]


@pytest.fixture
def run(run_small: Callable[..., ExpandReport]) -> Callable[..., ExpandReport]:
    return run_small


@pytest.mark.parametrize(
    ("environ", "share"),
    [
        ({"RANK": "3", "WORLD_SIZE": "8"}, Share(3, 8)),
        ({"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "4"}, Share(0, 4)),
        (
            {"SLURM_ARRAY_TASK_ID": "4", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "1"},
            Share(3, 4),
        ),
        (
            {
                "SLURM_ARRAY_TASK_ID": "9",
                "SLURM_ARRAY_TASK_COUNT": "4",
                "SLURM_ARRAY_TASK_MIN": "3",
                "SLURM_ARRAY_TASK_STEP": "2",
            },
            Share(3, 4),
        ),
        (
            {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "2", "RANK": "2", "WORLD_SIZE": "4"},
            Share(6, 8),
        ),
    ],
)
def test_clusters_number_their_processes(environ: dict[str, str], share: Share) -> None:
    assert parse_share("auto", environ) == share


@pytest.mark.parametrize(
    ("text", "environ", "message"),
    [
        ("3", {}, "shard must be I/N, such as 0/16, or auto, got '3'"),
        ("-1/4", {}, "shard must be I/N"),
        ("4/4", {}, "shard 4/4 is none: shares are numbered from 0 to N - 1"),
        ("0/0", {}, "is none"),
        ("auto", {}, "needs RANK and WORLD_SIZE, or SLURM_ARRAY_TASK_ID"),
        ("auto", {"RANK": "x", "WORLD_SIZE": "2"}, "RANK must be a number, got 'x'"),
        ("auto", {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "2"}, "task 7 of an array of 2 tasks from 0"),
    ],
)
def test_invalid_shares_are_refused(text: str, environ: dict[str, str], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        parse_share(text, environ)


def test_every_group_is_in_one_share() -> None:
    groups = [group for number in range(3) for group in Share(number, 3).groups(10)]
    assert sorted(groups) == list(range(10))


@pytest.mark.parametrize("format", FORMATS)
def test_shares_in_any_order_are_joined_to_the_bytes_of_one_process(
    run: Callable[..., ExpandReport], contents: Contents, tmp_path: Path, format: str
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    whole = contents(run("whole", format=format).out)
    run("shared", format=format, prepare=True)
    assert not list_parts(tmp_path / "shared")
    reports = [run("shared", format=format, shard=f"{number}/3") for number in (2, 0)]
    assert [report.shard for report in reports] == ["2/3", "0/3"]
    assert sum(report.new for report in reports) == len(list(read_job_rows(tmp_path / "shared")))
    assert summarise(tmp_path / "shared").copies == sum(report.new for report in reports)
    last = run("shared", format=format, resume=True)
    assert (last.new, last.written) == (10 - sum(report.new for report in reports), 10)
    assert contents(tmp_path / "shared") == whole


def test_the_first_share_prepares_the_job_and_shares_may_be_cut_anew(
    run: Callable[..., ExpandReport], contents: Contents, tmp_path: Path
) -> None:
    whole = contents(run("whole").out)
    assert run("shared", shard="1/2").new == 4
    assert run("shared", shard="1/2").new == 0
    assert sum(run("shared", shard=f"{number}/4").new for number in range(4)) == 6
    assert run("shared", resume=True).new == 0
    assert contents(tmp_path / "shared") == whole


def test_a_share_does_not_list_the_dataset_again(
    run: Callable[..., ExpandReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("shared", prepare=True)
    monkeypatch.setattr("fomaug.expand.dataset.find_sources", None)
    assert run("shared", shard="0/1").new == 10


def test_a_share_of_another_job_is_refused(run: Callable[..., ExpandReport]) -> None:
    run("shared", prepare=True)
    with pytest.raises(ResumeError, match=": seed: was 0, is 3"):
        run("shared", shard="0/2", seed=3)


def test_shares_and_finish_exclude_each_other(run: Callable[..., ExpandReport], tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    run("shared", prepare=True)
    with locked(tmp_path / "shared", shared=True):
        assert run("shared", shard="0/2").new > 0, "shares run side by side"
        with pytest.raises(ResumeError, match="another process is writing"):
            run("shared", resume=True)
    with locked(tmp_path / "shared"), pytest.raises(ResumeError, match="another process is writing"):
        run("shared", shard="0/2")


def test_clips_must_be_prepared_once(run: Callable[..., ExpandReport], tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    with pytest.raises(ArgumentError, match="is not prepared, and every shard would read the clips"):
        run("shared", driving=tmp_path / "clips", shard="0/2")


def test_finish_uses_the_settings_of_the_job(
    run: Callable[..., ExpandReport],
    contents: Contents,
    tiny_model: Animator,
    tiny_pool: DrivingPool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny_pool.save(tmp_path / "pool.safetensors")
    monkeypatch.setattr("fomaug.expand.resources.load_model", lambda *_, **__: tiny_model)
    options = {"driving": tmp_path / "pool.safetensors", "strength_range": (0.4, 0.9), "labels": {"*": "x"}}
    whole = contents(run("whole", **options).out)
    run("shared", prepare=True, **options)
    assert finish(tmp_path / "shared", shard="0/2").shard == "0/2"
    assert finish(tmp_path / "shared").written == 10
    assert contents(tmp_path / "shared") == whole


def test_finish_refuses_missing_jobs_and_jobs_with_python_objects(
    run: Callable[..., ExpandReport], tmp_path: Path
) -> None:
    with pytest.raises(ResumeError, match=r"holds no expand\.json"):
        finish(tmp_path)
    run("given", prepare=True)
    with pytest.raises(ResumeError, match="was given a pool or a model from Python; resume it there"):
        finish(tmp_path / "given")
