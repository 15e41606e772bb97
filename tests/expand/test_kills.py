"""Any process of a job may be killed at any moment; what goes on ends with the bytes of an undisturbed run."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fomaug import Animator, DrivingPool, save_model
from fomaug.media import save_image

Contents = Callable[[Path], dict[str, bytes]]
PICTURES = 32
ENGINES = {
    "one": ("--processes", "1"),
    "two": ("--processes", "2"),
    "ray": ("--engine", "ray", "--processes", "2"),
}
KILLS = int(os.environ.get("FOMAUG_TEST_KILLS", "30"))  # fewer show that the slow tests work
WORKERS = (b"--multiprocessing-fork", b"multiprocessing.forkserver", b"ray::_Worker")
"""Command lines of workers and of their fork server, whose deaths the job survives."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children are listed in /proc")


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Animator, tiny_pool: DrivingPool, face: Callable[..., np.ndarray]) -> Path:
    for i in range(PICTURES):
        save_image(tmp_path / "faces" / f"person {i % 3}" / f"{i}.jpg", face(i))
    save_model(tiny_model, tmp_path / "tiny.safetensors", half=False)
    tiny_pool.save(tmp_path / "pool.safetensors")
    return tmp_path


def check_kills(
    jobs: Any,
    folder: Path,
    contents: Contents,
    format: str,
    engine: str,
    kills: int,
    url: str = "",
) -> None:
    """Kill a random process of a job at a random moment, again and again, and start the job again each time.

    Args:
        jobs: starter of jobs.
        folder: folder with pictures, model and pool.
        contents: function that reads all files of an output folder.
        format: output format.
        engine: key of `ENGINES`.
        kills: number of processes to kill.
        url: URL of the output on storage; empty for a folder.
    """
    out = url or "broken"
    words = ("faces", "--format", format, "--copies", "4", "--samples-per-shard", "16", *ENGINES[engine])
    begin = time.monotonic()
    jobs.finish(jobs.start(folder, *words, "whole"))
    duration = time.monotonic() - begin
    whole, rng = contents(folder / "whole"), random.Random(f"{format} {engine} {bool(url)}")
    killed, begins = 0, True
    while killed < kills:
        start = time.monotonic()
        process = jobs.start(folder, *words, out, "--resume")
        is_worker = False
        try:
            process.wait(rng.uniform(0.1, 1.0) * duration)
            if begins:  # the machine is less busy than before
                duration = time.monotonic() - start
        except subprocess.TimeoutExpired:
            killed += 1
            victim = rng.choice([process.pid, *jobs.descendants(process.pid)])
            is_worker = any(mark in command_of(victim) for mark in WORKERS)
            jobs.kill(victim)
        _, complaint = process.communicate()
        if is_worker:
            assert process.returncode == 0, complaint.decode()
        begins = process.returncode == 0
        if begins:
            assert (objects(url) if url else contents(folder / out)) == whole
            remove(url) if url else shutil.rmtree(folder / out)
    jobs.finish(jobs.start(folder, *words, out, "--resume"))
    assert (objects(url) if url else contents(folder / out)) == whole


def objects(url: str) -> dict[str, bytes]:
    fsspec = pytest.importorskip("fsspec")
    storage, path = fsspec.url_to_fs(url)
    storage.invalidate_cache()
    return {name[len(path) + 1 :]: storage.cat_file(name) for name in storage.find(path)}


def remove(url: str) -> None:
    fsspec = pytest.importorskip("fsspec")
    storage, path = fsspec.url_to_fs(url)
    storage.rm(path, recursive=True)


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def need(format: str, engine: str) -> None:
    """Skip a test whose optional package is not installed."""
    for name, package in ((format, "pyarrow"), (engine, "ray")):
        if name in ("parquet", "ray") and importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


@pytest.mark.parametrize(
    ("format", "engine"), [("webdataset", "one"), ("folder", "two"), ("parquet", "two"), ("webdataset", "ray")]
)
def test_two_kills_change_no_byte(jobs: Any, folder: Path, contents: Contents, format: str, engine: str) -> None:
    need(format, engine)
    check_kills(jobs, folder, contents, format, engine, 2)


def test_two_kills_change_no_object_on_storage(jobs: Any, folder: Path, contents: Contents, s3: str) -> None:
    check_kills(jobs, folder, contents, "webdataset", "two", 2, f"{s3}/two-kills")


@pytest.mark.slow
@pytest.mark.parametrize("format", ["webdataset", "parquet"])
@pytest.mark.parametrize("engine", list(ENGINES))
def test_thirty_kills_change_no_object_on_storage(
    jobs: Any, folder: Path, contents: Contents, s3: str, format: str, engine: str
) -> None:
    need(format, engine)
    check_kills(jobs, folder, contents, format, engine, KILLS, f"{s3}/thirty-kills-{format}-{engine}")


@pytest.mark.slow
@pytest.mark.parametrize("format", ["folder", "webdataset", "parquet"])
@pytest.mark.parametrize("engine", list(ENGINES))
def test_thirty_kills_change_no_byte(jobs: Any, folder: Path, contents: Contents, format: str, engine: str) -> None:
    need(format, engine)
    check_kills(jobs, folder, contents, format, engine, KILLS)
