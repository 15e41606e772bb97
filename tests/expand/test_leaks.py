from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fomaug import Animator, DrivingPool
from fomaug.errors import ArgumentError
from fomaug.expand import expand, find_leaks
from fomaug.media import save_image

Face = Callable[..., np.ndarray]


@pytest.fixture
def make(tiny_model: Animator, tiny_pool: DrivingPool, tmp_path: Path, face: Face) -> Callable[..., Path]:
    def call(name: str, *seeds: int, pool: DrivingPool = tiny_pool, **options: object) -> Path:
        for seed in seeds:
            save_image(tmp_path / name / f"{seed}.png", face(seed))
        options = {"gates": "off", "copies": 3, **options}
        return expand(tmp_path / name, tmp_path / f"{name}-out", driving=pool, model=tiny_model, **options).out

    return call


def pool_of(pool: DrivingPool, index: int, driver: str = "") -> DrivingPool:
    track = replace(pool.tracks[index], driver=driver)
    return DrivingPool([track], pool.model_name, pool.model_hash)


def test_sets_of_other_pictures_and_clips_share_nothing(make: Callable[..., Path], tiny_pool: DrivingPool) -> None:
    first = make("train", 0, 1, pool=pool_of(tiny_pool, 0))
    second = make("test", 2, pool=pool_of(tiny_pool, 1))
    assert find_leaks([first, second]) == []
    assert find_leaks([first]) == []


def test_a_picture_in_both_is_found_under_any_name(
    make: Callable[..., Path], tiny_pool: DrivingPool, tmp_path: Path
) -> None:
    first = make("train", 0, 1, pool=pool_of(tiny_pool, 0))
    (tmp_path / "test").mkdir()
    shutil.copy(tmp_path / "train" / "1.png", tmp_path / "test" / "other.png")
    second = make("test", 2, pool=pool_of(tiny_pool, 1))
    (leak,) = find_leaks([first, second])
    assert (leak.kind, leak.names, leak.places) == (
        "source",
        ("1.png", "other.png"),
        (str(second), str(first)),
    )


def test_a_plain_folder_of_pictures_can_be_checked_against(make: Callable[..., Path], tmp_path: Path) -> None:
    out = make("train", 0, 1)
    (leak,) = [leak for leak in find_leaks([out, tmp_path / "train"]) if leak.names == ("0.png",)]
    assert leak.kind == "source"


def test_an_expansion_within_a_folder_of_pictures_counts(make: Callable[..., Path], tmp_path: Path, face: Face) -> None:
    out = make("train", 0)
    save_image(tmp_path / "all" / "9.png", face(9))
    out.rename(tmp_path / "all" / "copies")
    (leak,) = find_leaks([tmp_path / "all", tmp_path / "train"])
    assert (leak.kind, leak.names) == ("source", ("0.png",))


@pytest.mark.parametrize(("first", "second", "leaks"), [("", "", 1), ("ann", "bob", 0), ("ann", "ann", 1)])
def test_shared_drivers_are_found_by_name_or_clip(
    make: Callable[..., Path], tiny_pool: DrivingPool, first: str, second: str, leaks: int
) -> None:
    sets = [make("train", 0, pool=pool_of(tiny_pool, 0, first)), make("test", 1, pool=pool_of(tiny_pool, 0, second))]
    assert [leak.kind for leak in find_leaks(sets)] == ["driver"] * leaks
    assert find_leaks(sets, drivers=False) == []


def test_motion_without_a_clip_has_no_driver(make: Callable[..., Path], tiny_pool: DrivingPool) -> None:
    track = replace(tiny_pool.tracks[0], clip_hash="", driver="mean face")
    pool = DrivingPool([track], tiny_pool.model_name, tiny_pool.model_hash)
    assert find_leaks([make("train", 0, pool=pool), make("test", 1, pool=pool)]) == []


def test_splits_of_one_set_are_distinguished(make: Callable[..., Path], tmp_path: Path, face: Face) -> None:
    save_image(tmp_path / "all" / "train" / "a.png", face(0))
    save_image(tmp_path / "all" / "val" / "b.png", face(0))
    out = make("all", split="all")
    leaks = find_leaks([out])
    assert leaks[0].kind == "source"
    assert leaks[0].places == (f"{out}:train", f"{out}:val")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="nowhere is not a folder"):
        find_leaks([tmp_path / "nowhere"])


def test_the_drivers_of_all_faces_of_a_picture_count(
    make: Callable[..., Path], tiny_pool: DrivingPool, tmp_path: Path, face: Face
) -> None:
    """The second face borrows from the test set's clip, the first does not."""
    two = DrivingPool(tiny_pool.tracks[:2], tiny_pool.model_name, tiny_pool.model_hash)
    first = make("train", 0, pool=two)
    rows = [json.loads(line) for line in (first / "manifest.jsonl").read_text().splitlines()]
    by_clip = {row["motion"]["clip"]: row["motion"] for row in rows}
    for row in rows:
        row["motion"] = {**by_clip["nod"], "others": [by_clip["shake"]]}
    (first / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (leak,) = find_leaks([first, make("test", 2, pool=pool_of(tiny_pool, 1))])
    assert (leak.kind, leak.names) == ("driver", ("shake",))
