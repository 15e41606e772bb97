from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fomaug import DrivingPool, load_model, save_model
from fomaug.cli.driving import pool
from fomaug.errors import MediaError, PoolError


def run(*words: object, fails: type[Exception] | None = None) -> Result:
    result = CliRunner().invoke(pool, [str(word) for word in words], standalone_mode=False)
    if fails is None and result.exception:
        raise result.exception
    assert fails is None or isinstance(result.exception, fails)
    return result


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_model) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(tiny_model, path)
    return path


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(3)]
    (tmp_path / "clips" / "happy").mkdir(parents=True)
    images[0].save(tmp_path / "clips" / "happy" / "nod.gif", save_all=True, append_images=images[1:], duration=40)
    return tmp_path / "clips"


def test_a_pool_is_built_and_shown(clips: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "pool.safetensors"
    built = run("build", clips, "-o", out, "--model", model, "--crop", "frame", "--labels", "folders")
    made = DrivingPool.load(out, load_model(model))
    assert built.return_value == 0
    assert made.labels == ("happy",)
    assert f"{out}: 1 tracks, 3 frames" in built.output
    shown = run("show", out).output.splitlines()
    assert shown[0] == f"1 tracks, 3 frames, hash {made.hash[:12]}"
    assert shown[2].split() == ["name", "label", "frames", "fps", "motion", "driver"]
    assert shown[3].split()[:4] == ["nod", "happy", "3", "25.0"]


def test_json_contains_all_fields(clips: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "pool.safetensors"
    run("build", clips / "happy" / "nod.gif", "-o", out, "--model", model, "--crop", "frame", "--half")
    said = json.loads(run("show", out, "--json").output)
    made = DrivingPool.load(out)
    assert (said["hash"], said["model_hash"], said["frames"]) == (made.hash, made.model_hash, 3)
    assert said["tracks"][0]["clip_hash"] == made[0].clip_hash
    assert said["tracks"][0]["motion"] == pytest.approx(made[0].motion_range, abs=1e-4)
    assert made.rounded().hash == made.hash


def test_skipped_clips_are_named_and_change_the_exit_code(clips: Path, model: Path, tmp_path: Path) -> None:
    (clips / "bad.mp4").write_text("no video")
    built = run("build", clips, "-o", tmp_path / "a", "--model", model, "--crop", "frame")
    assert built.return_value == 3
    assert "skipped: bad: " in built.output
    run("build", clips, "-o", tmp_path / "b", "--model", model, "--on-error", "raise", fails=MediaError)
    assert not (tmp_path / "b").exists()


def test_a_missing_pool_is_an_error_with_the_names() -> None:
    failed = CliRunner().invoke(pool, ["show", "bultin"], standalone_mode=False)
    assert "gestures, parametric, views or a pool file" in str(failed.exception)
    assert "did you mean 'builtin'" in str(failed.exception)


def test_a_file_that_is_no_pool_is_an_error_with_a_remedy(clips: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("no pool at all")
    failed = run("show", tmp_path / "a", fails=PoolError)
    assert "is not a pool file" in str(failed.exception)
    assert "build one with `fomaug pool build`" in str(failed.exception)
    run("build", clips, "-o", tmp_path / "b", "--model", model, "--gestures", "--crop", "frame", fails=PoolError)


def test_gestures_with_the_names_of_clips_are_renamed(tmp_path: Path) -> None:
    clips = Path(__file__).parents[2] / "examples" / "clips"
    run("build", clips / "nod.mp4", "-o", tmp_path / "pool", "--gestures")
    names = DrivingPool.load(tmp_path / "pool").names
    assert {"nod", "gestures/nod", "shake"} <= set(names)
