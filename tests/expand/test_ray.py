"""The Ray engine on a real local cluster of two nodes; actors and a node are killed while they work."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fomaug import Animator, DrivingPool, save_model
from fomaug.errors import MediaError
from fomaug.expand import ExpandReport, expand
from fomaug.media import save_image

ray = pytest.importorskip("ray")

Contents = Callable[[Path], dict[str, bytes]]
ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # Ray's own, about what changes in its next version
    pytest.mark.skipif(sys.platform != "linux", reason="children are listed in /proc"),
]


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes of one core each; the driver is connected to them."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    environment = {"env_vars": {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}}
    ray.init(address=cluster.address, runtime_env=environment, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def run(
    tiny_model: Animator, tiny_pool: DrivingPool, tmp_path: Path, face: Callable[..., np.ndarray]
) -> Callable[..., ExpandReport]:
    for i in range(24):
        save_image(tmp_path / "faces" / f"person {i % 3}" / f"{i}.jpg", face(i))
    save_model(tiny_model, tmp_path / "tiny.safetensors", half=False)
    tiny_pool.save(tmp_path / "pool.safetensors")

    def call(out: str, **options: Any) -> ExpandReport:
        options = {"gates": "off", "copies": 4, "samples_per_shard": 8, "batch_size": 4, "workers": 1, **options}
        named = {"model": tmp_path / "tiny.safetensors", "driving": tmp_path / "pool.safetensors", "device": "cpu"}
        return expand(tmp_path / "faces", tmp_path / out, **{**named, **options})

    return call


def kill_after(monkeypatch: pytest.MonkeyPatch, tasks: int, kill: Callable[[], object]) -> None:
    """Call a function when a number of tasks are done."""
    from fomaug.expand.tasks import Tasks

    done, count = Tasks.done, 0

    def note(self: Tasks, result: Any) -> None:
        nonlocal count
        done(self, result)
        count += 1
        if count == tasks:
            kill()

    monkeypatch.setattr(Tasks, "done", note)


def kill_an_actor(cluster: Any, jobs: Any) -> None:
    raylets = {info.process.pid for node in cluster.list_all_nodes() for info in node.all_processes["raylet"]}
    found = [pid for raylet in raylets for pid in jobs.children(raylet) if is_actor(pid)]
    assert found
    os.kill(found[0], signal.SIGKILL)


def is_actor(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::_Worker")


@pytest.mark.parametrize("format", ["folder", "webdataset"])
def test_a_cluster_changes_no_byte(
    run: Callable[..., ExpandReport], contents: Contents, cluster: Any, format: str
) -> None:
    one, many = run("one", format=format), run("many", format=format, engine="ray", processes="auto")
    assert contents(many.out) == contents(one.out)
    assert (many.new, many.written) == (96, 96)


def test_a_dead_actor_is_replaced(
    run: Callable[..., ExpandReport], contents: Contents, cluster: Any, jobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = contents(run("one").out)
    kill_after(monkeypatch, 2, lambda: kill_an_actor(cluster, jobs))
    report = run("many", engine="ray", processes=2)
    assert (report.new, report.failed) == (96, ())
    assert contents(report.out) == whole


def test_a_job_survives_a_dead_node(
    run: Callable[..., ExpandReport], contents: Contents, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = contents(run("one").out)
    node = next(node for node in cluster.list_all_nodes() if node is not cluster.head_node)
    kill_after(monkeypatch, 2, lambda: cluster.remove_node(node, allow_graceful=False))
    report = run("many", engine="ray", processes=2)
    assert (report.new, report.failed) == (96, ())
    assert contents(report.out) == whole


def test_an_actor_without_tasks_gives_its_core_to_one_that_waits_for_it(
    run: Callable[..., ExpandReport], contents: Contents, cluster: Any
) -> None:
    whole = contents(run("one").out)
    cluster.remove_node(next(node for node in cluster.list_all_nodes() if node is not cluster.head_node))
    report = run("many", engine="ray", processes=2)  # the second actor has a task, but no core yet
    assert (report.new, report.failed) == (96, ())
    assert contents(report.out) == whole


def test_a_worker_that_is_killed_while_ray_starts_is_survived(
    run: Callable[..., ExpandReport], contents: Contents, tmp_path: Path, jobs: Any
) -> None:
    words = ("faces", "--format", "webdataset", "--copies", "4", "--samples-per-shard", "8")
    jobs.finish(jobs.start(tmp_path, *words, "one"))
    process = jobs.start(tmp_path, *words, "two", "--engine", "ray", "--processes", "1")
    killed = None
    while killed is None and process.poll() is None:
        killed = next((pid for pid in jobs.descendants(process.pid) if is_starting(pid)), None)
        if killed is not None:
            jobs.kill(killed)
        time.sleep(0.01)
    assert killed is not None
    try:
        _, complaint = process.communicate(timeout=180)
    finally:
        for pid in (*jobs.descendants(process.pid), process.pid):
            jobs.kill(pid)
    assert process.returncode == 0, complaint.decode()
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def is_starting(pid: int) -> bool:
    """Whether a process is a worker that Ray starts; it has another name as soon as it is ready."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return any(word.endswith(b"default_worker.py") for word in words[:4])


def test_an_error_of_an_actor_is_raised_in_the_main_process(
    run: Callable[..., ExpandReport], cluster: Any, tmp_path: Path
) -> None:
    run("prepared", prepare=True)
    path = next((tmp_path / "faces").rglob("*.jpg"))
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(MediaError, match="cannot be read"):
        run("out", engine="ray", processes=2, on_error="raise")


def test_actors_write_to_storage(
    s3: str, run: Callable[..., ExpandReport], contents: Contents, cluster: Any, tmp_path: Path
) -> None:
    """The actors have no folder in common with the job, which gets their rows from storage."""
    fsspec = pytest.importorskip("fsspec")
    whole = contents(run("one", format="webdataset").out)
    named = {"model": tmp_path / "tiny.safetensors", "driving": tmp_path / "pool.safetensors", "device": "cpu"}
    options = {"gates": "off", "copies": 4, "samples_per_shard": 8, "batch_size": 4, "format": "webdataset"}
    report = expand(tmp_path / "faces", f"{s3}/ray", engine="ray", processes=2, **named, **options)
    assert (report.new, report.written) == (96, 96)
    store, path = fsspec.url_to_fs(report.url)
    store.invalidate_cache()
    assert {name[len(path) + 1 :]: store.cat_file(name) for name in store.find(path)} == whole
