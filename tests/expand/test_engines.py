"""Every engine writes the same bytes; dead workers are replaced, and what kills them is named."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fomaug import Animator, DrivingPool, save_model
from fomaug.errors import ArgumentError, FomaugError, MediaError, MissingExtraError
from fomaug.expand import ExpandPlan, ExpandReport, expand
from fomaug.expand.engines import local
from fomaug.expand.engines.local import choose_devices, count_cores
from fomaug.media import save_image

Contents = Callable[[Path], dict[str, bytes]]
FORMATS = ["folder", "webdataset", "parquet"]

pytestmark = pytest.mark.usefixtures("fork_server")


def find_middle(picture: np.ndarray) -> list[tuple[int, int, int, int]]:
    """A detector that other processes can import."""
    height, width = picture.shape[:2]
    return [(width // 4, height // 4, width * 3 // 4, height * 3 // 4)]


@pytest.fixture
def run(tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path) -> Callable[..., ExpandReport]:
    def call(out: str, **options: object) -> ExpandReport:
        options = {"gates": "off", "copies": 2, "samples_per_shard": 4, "batch_size": 4, "workers": 1, **options}
        given = {"model": tiny_model, "driving": tiny_pool, "device": "cpu"}
        return expand(faces, tmp_path / out, **{**given, **options})

    return call


@pytest.mark.parametrize("format", FORMATS)
def test_processes_change_no_byte(run: Callable[..., ExpandReport], contents: Contents, format: str) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    one, two = run("one", format=format), run("two", format=format, processes=2)
    assert contents(two.out) == contents(one.out)
    assert (two.new, two.written, two.labels) == (one.new, one.written, one.labels)
    again = run("two", format=format, processes=2, resume=True)
    assert (again.new, again.written) == (0, 10)


def test_workers_load_models_and_pools_by_name(
    run: Callable[..., ExpandReport], contents: Contents, tiny_model: Animator, tiny_pool: DrivingPool, tmp_path: Path
) -> None:
    save_model(tiny_model, tmp_path / "tiny.safetensors", half=False)
    tiny_pool.save(tmp_path / "pool.safetensors")
    named = {"model": tmp_path / "tiny.safetensors", "driving": tmp_path / "pool.safetensors"}
    one, two = run("one", **named), run("two", **named, processes=2)
    assert contents(two.out) == contents(one.out)


def test_annotations_faces_and_bad_pictures_work_in_other_processes(
    run: Callable[..., ExpandReport], contents: Contents, faces: Path, tmp_path: Path
) -> None:
    (faces / "ben" / "1.png").write_bytes(b"no picture")
    for name in ("anna/1.png", "ben/2.png", "carla/1.png"):
        (tmp_path / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
        side = 40 if name.startswith("carla") else 48
        save_image(tmp_path / "masks" / name, np.full((side, side), 3, np.uint8))
    options = {"annotations": str(tmp_path / "masks"), "faces": "detect", "detector": find_middle}
    one, two = run("one", **options), run("two", **options, processes=2)
    assert contents(two.out) == contents(one.out)
    assert two.failed == one.failed
    assert [failure.source for failure in two.failed] == ["ben/1.png"]
    assert two.flawed == one.flawed
    assert len(two.flawed) == 1


def test_an_error_of_a_worker_is_raised_in_the_main_process(
    run: Callable[..., ExpandReport], faces: Path, tmp_path: Path
) -> None:
    (faces / "ben" / "1.png").write_bytes(b"no picture")
    with pytest.raises(MediaError, match=r"^ben/1\.png: cannot be read"):
        run("out", processes=2, on_error="raise")
    assert not list((tmp_path / "out").rglob("*.fomaug-tmp"))


def test_objects_that_cannot_be_passed_to_processes_are_named(run: Callable[..., ExpandReport]) -> None:
    with pytest.raises(ArgumentError, match=r"detector cannot be passed to other processes .* top of a module"):
        run("out", processes=2, faces="detect", detector=lambda picture: find_middle(picture))


@pytest.mark.parametrize("processes", [0, -1, "many", 1.5])
def test_invalid_numbers_of_processes_are_refused(run: Callable[..., ExpandReport], processes: object) -> None:
    with pytest.raises(ArgumentError, match="processes must be a number from 1, or 'auto'"):
        run("out", processes=processes)


class Killer:
    """Kills each worker process as soon as it has a task, up to a number of times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.times = times
        self.killed = 0
        give = local._Processes._give
        killer = self

        def give_and_kill(self: Any, worker: Any) -> None:
            give(self, worker)
            if killer.killed < killer.times and worker.tasks:
                killer.killed += 1
                worker.process.kill()

        monkeypatch.setattr(local._Processes, "_give", give_and_kill)


def test_the_tasks_of_dead_workers_are_done_by_others(
    run: Callable[..., ExpandReport], contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = contents(run("one").out)
    killer = Killer(monkeypatch, 2)
    report = run("two", processes=2)
    assert killer.killed == 2
    assert (report.new, report.failed) == (10, ())
    assert contents(report.out) == whole


def end_at_carla(picture: np.ndarray) -> list[tuple[int, int, int, int]]:
    """A detector that ends its process at one of the pictures."""
    if picture.shape[0] == 56:
        os.kill(os.getpid(), signal.SIGKILL)
    return find_middle(picture)


def test_a_picture_that_kills_workers_is_given_up_and_named(
    run: Callable[..., ExpandReport], contents: Contents, faces: Path, face: Callable[..., np.ndarray]
) -> None:
    save_image(faces / "carla" / "1.png", face(9, 56, 56))
    report = run("out", processes=2, faces="detect", detector=end_at_carla, batch_size=2)
    assert [failure.source for failure in report.failed] == ["carla/1.png"]
    assert "the worker that made its group ended with exit code -9, 3 times in a row" in report.failed[0].reason
    assert report.written == 8
    again = run("out", faces="detect", detector=find_middle, batch_size=2, resume=True)
    assert (again.new, again.failed) == (2, ())


class ManyTensors:
    """A detector with more tensors than file descriptors can be sent to a fork server."""

    def __init__(self) -> None:
        self.tensors = [torch.full((2,), float(number)) for number in range(300)]

    def __call__(self, picture: np.ndarray) -> list[tuple[int, int, int, int]]:
        assert [float(tensor[1]) for tensor in self.tensors] == list(range(300))
        return find_middle(picture)


def test_objects_of_many_tensors_come_to_other_processes(run: Callable[..., ExpandReport]) -> None:
    report = run("out", processes=2, faces="detect", detector=ManyTensors())
    assert (report.new, report.failed) == (10, ())


def find_if_told(picture: np.ndarray) -> list[tuple[int, int, int, int]]:
    """A detector that reads an environment variable."""
    return find_middle(picture) if os.environ.get("FOMAUG_TEST_FIND") == "yes" else []


def test_workers_have_the_environment_of_their_job(
    run: Callable[..., ExpandReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("without", processes=2, faces="detect", detector=find_if_told).new == 0
    monkeypatch.setenv("FOMAUG_TEST_FIND", "yes")
    assert run("with", processes=2, faces="detect", detector=find_if_told).new == 10


@pytest.mark.skipif(sys.platform != "linux", reason="workers are spawned")
def test_a_killed_fork_server_ends_no_job(
    run: Callable[..., ExpandReport], contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = contents(run("one").out)
    give, servers = local._Processes._give, []

    def give_and_kill(self: Any, worker: Any) -> None:
        give(self, worker)
        if not servers:
            servers.append(forkserver._forkserver._forkserver_pid)
            os.kill(servers[0], signal.SIGKILL)
            worker.process.kill()  # its successor needs another server

    monkeypatch.setattr(local._Processes, "_give", give_and_kill)
    report = run("two", processes=2)
    assert forkserver._forkserver._forkserver_pid != servers[0]
    assert (report.new, report.failed) == (10, ())
    assert contents(report.out) == whole


def test_workers_that_never_make_anything_end_the_job(
    run: Callable[..., ExpandReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_MOST_DEATHS", 1)
    Killer(monkeypatch, 9)
    with pytest.raises(FomaugError, match="1 workers in a row made nothing; the last one ended with exit code -9"):
        run("out", processes=2)


def test_a_script_without_a_guard_learns_what_it_lacks(faces: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"import fomaug\nfomaug.expand({str(faces)!r}, {str(tmp_path / 'out')!r}, copies=2, processes=2)\n"
    )
    ended = subprocess.run([sys.executable, script], check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].endswith(
        """needs `if __name__ == "__main__":` around the call, or processes=1"""
    )
    assert ended.stderr.count("Traceback") == 1, "that of the script itself"


@pytest.mark.parametrize("words", [("-",), ()])
def test_a_script_without_a_file_learns_that_it_must_be_one(
    faces: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    script = f"import fomaug\nfomaug.expand({str(faces)!r}, {str(tmp_path / 'out')!r}, copies=2, processes=2)\n"
    ended = subprocess.run([sys.executable, *words], input=script, check=False, capture_output=True, text=True)
    assert "must be a file" in ended.stderr
    assert ended.stderr.count("Traceback") == 1


METHODS = ["forkserver", "spawn"] if sys.platform == "linux" else ["spawn"]


class SlowToLoad:
    """A detector that another process loads for longer than a test waits."""

    def __setstate__(self, state: object) -> None:
        time.sleep(120)

    def __getstate__(self) -> str:
        return "slow"

    def __call__(self, picture: np.ndarray) -> list[tuple[int, int, int, int]]:
        return find_middle(picture)


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupt_is_not_lost_while_a_worker_starts(
    run: Callable[..., ExpandReport], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """A start waits until the fork server has imported torch, or until a spawned process has read its data.

    The worker that was started nevertheless ends at once, without loading its model first.
    """
    context = multiprocessing.get_context(method)
    process = context.Process
    start = process.start

    def start_and_interrupt(self: Any) -> None:
        start(self)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(local, "context_of_workers", lambda on_cpu: context)
    monkeypatch.setattr(process, "start", start_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        run("out", processes=2, faces="detect", detector=SlowToLoad())
    for child in multiprocessing.active_children():
        child.join(60)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("method", METHODS)
def test_interrupts_do_not_reach_workers_that_start(
    run: Callable[..., ExpandReport],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    method: str,
) -> None:
    """Ctrl-C is sent to all processes of a terminal."""
    context = multiprocessing.get_context(method)
    process = context.Process
    start, pids = process.start, []

    def start_and_signal(self: Any) -> None:
        start(self)
        pids.append(self.pid)
        for _ in range(20):
            os.kill(self.pid, signal.SIGINT)
            time.sleep(0.02)

    monkeypatch.setattr(local, "context_of_workers", lambda on_cpu: context)
    monkeypatch.setattr(process, "start", start_and_signal)
    assert run("out", processes=2).new == 10
    assert len(pids) == 2
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="workers are spawned")
def test_the_fork_server_ends_with_its_job(faces: Path, tmp_path: Path, saved: dict[str, str]) -> None:
    script = tmp_path / "script.py"
    options = {**saved, "copies": 2, "gates": "off", "device": "cpu", "samples_per_shard": 2, "processes": 2}
    script.write_text(
        f"""
import os, sys
import fomaug

def children():
    lines = [open(f"/proc/{{pid}}/stat").read().split() for pid in os.listdir("/proc") if pid.isdigit()]
    commands = [open(f"/proc/{{line[0]}}/cmdline").read() for line in lines if line[3] == str(os.getpid())]
    return [command for command in commands if "forkserver" in command]

if __name__ == "__main__":
    for number in range(2):
        report = fomaug.expand({str(faces)!r}, {str(tmp_path)!r} + f"/out{{number}}", **{options!r})
        print(report.new, children())
"""
    )
    ended = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True)
    assert ended.stdout.splitlines() == ["10 []"] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are listed in /proc")
def test_a_job_leaves_no_file_descriptors_open(run: Callable[..., ExpandReport]) -> None:
    run("first", processes=2)
    before = len(list(Path("/proc/self/fd").iterdir()))
    run("second", processes=2)
    assert len(list(Path("/proc/self/fd").iterdir())) < before + 20, "there are more tensors than that"


def test_workers_end_with_their_job(run: Callable[..., ExpandReport]) -> None:
    run("out", processes=2)
    assert multiprocessing.active_children() == []


def plan(**options: Any) -> ExpandPlan:
    return ExpandPlan("data", "out", **{"device": "cpu", **options})


def test_devices_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_devices(plan(), 100) == ["cpu"]
    assert choose_devices(plan(processes=3), 100) == ["cpu"] * 3
    assert choose_devices(plan(processes=3), 2) == ["cpu"] * 2, "no more than tasks"
    monkeypatch.setattr(local, "_free_bytes", lambda: 1 << 40)
    assert choose_devices(plan(processes="auto"), 100) == ["cpu"] * count_cores()
    monkeypatch.setattr(local, "_free_bytes", lambda: 1)
    assert choose_devices(plan(processes="auto"), 100) == ["cpu"]
    monkeypatch.setattr(local, "pick_device", torch.device)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert choose_devices(plan(device="cuda", processes="auto"), 100) == ["cuda:0", "cuda:1", "cuda:2"]
    assert choose_devices(plan(device="cuda", processes=4), 100) == ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]
    assert choose_devices(plan(device="cuda:1", processes="auto"), 100) == ["cuda:1"]


def test_ray_names_its_extra(run: Callable[..., ExpandReport], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fomaug\[ray\]'"):
        run("out", engine="ray")


def test_the_profile_names_the_stage_that_limits(run: Callable[..., ExpandReport]) -> None:
    profile = run("out", processes=2).profile
    assert len(profile) == 8
    assert "limits the speed: " in profile[-1]


def test_a_worker_starts_although_the_killed_fork_server_exists_for_a_moment(
    run: Callable[..., ExpandReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    start, end = local._Processes._try_to_start, time.monotonic() + 0.5

    def fail_for_a_moment(self: Any, device: str) -> Any:
        if time.monotonic() < end:
            raise EOFError
        return start(self, device)

    monkeypatch.setattr(local._Processes, "_try_to_start", fail_for_a_moment)
    assert run("two", processes=2).new == 10
