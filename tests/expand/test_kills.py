"""Any process of a job may be killed at any moment; what goes on ends with the bytes of an undisturbed run."""

from __future__ import annotations

import random
import shutil
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
ENGINES = {"one": ("--processes", "1"), "two": ("--processes", "2")}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children are listed in /proc")


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Animator, tiny_pool: DrivingPool, face: Callable[..., np.ndarray]) -> Path:
    for i in range(PICTURES):
        save_image(tmp_path / "faces" / f"person {i % 3}" / f"{i}.jpg", face(i))
    save_model(tiny_model, tmp_path / "tiny.safetensors", half=False)
    tiny_pool.save(tmp_path / "pool.safetensors")
    return tmp_path


def check_kills(jobs: Any, folder: Path, contents: Contents, format: str, engine: str, kills: int) -> None:
    words = ("faces", "--format", format, "--copies", "4", "--samples-per-shard", "16", *ENGINES[engine])
    begin = time.monotonic()
    jobs.finish(jobs.start(folder, *words, "whole"))
    duration = time.monotonic() - begin
    whole, rng = contents(folder / "whole"), random.Random(f"{format} {engine}")
    killed = 0
    while killed < kills:
        process = jobs.start(folder, *words, "broken", "--resume")
        time.sleep(rng.uniform(0.1, 1.0) * duration)
        workers = jobs.children(process.pid)
        victim = rng.choice([process.pid, *workers])
        killed += process.poll() is None
        jobs.kill(victim)
        _, complaint = process.communicate()
        if victim != process.pid:
            assert process.returncode == 0, complaint.decode()
        if process.returncode == 0:
            assert contents(folder / "broken") == whole
            shutil.rmtree(folder / "broken")
    jobs.finish(jobs.start(folder, *words, "broken", "--resume"))
    assert contents(folder / "broken") == whole


@pytest.mark.parametrize(("format", "engine"), [("webdataset", "one"), ("folder", "two")])
def test_two_kills_change_no_byte(jobs: Any, folder: Path, contents: Contents, format: str, engine: str) -> None:
    check_kills(jobs, folder, contents, format, engine, 2)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["folder", "webdataset", "parquet"])
@pytest.mark.parametrize("engine", list(ENGINES))
def test_thirty_kills_change_no_byte(jobs: Any, folder: Path, contents: Contents, format: str, engine: str) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    check_kills(jobs, folder, contents, format, engine, 30)
