from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomaug import Animator, save_model
from fomaug.cli import main
from fomaug.cli.evaluate import table
from fomaug.errors import MediaError
from fomaug.evaluation import Extractors, Figure, reconstruct


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    root = tmp_path / "clips"
    for name, count in (("one", 4), ("two", 3)):
        folder = root / name
        folder.mkdir(parents=True)
        base = rng.uniform(0, 255, (8, 8, 3)).astype(np.uint8)
        for i in range(count):
            frame = np.roll(np.asarray(Image.fromarray(base).resize((192, 192))), 3 * i, axis=1)
            Image.fromarray(frame).save(folder / f"{i}.png")
    return root


def test_models_are_measured_on_the_same_frames(tiny_model: Animator, clips: Path) -> None:
    seen: list[tuple[str, int]] = []
    first, second = reconstruct(
        [tiny_model, tiny_model], clips, watch=lambda clip, _s, _d, found: seen.append((clip, len(found)))
    )
    assert first.figures == second.figures
    assert seen == [("one", 2)] * 3 + [("two", 2)] * 2
    assert set(first.figures) == {"l1", "psnr", "ssim", "ms_ssim", "keypoint_distance"}
    for figure in first.figures.values():
        assert figure.low <= figure.mean <= figure.high
    assert first.judges == {"keypoint_distance": "tiny's own detector"}


def test_extractors_of_the_user_add_their_measures(tiny_model: Animator, clips: Path) -> None:
    def landmarks(frame: np.ndarray) -> np.ndarray:
        return np.full((5, 2), frame.mean())

    def embedding(frame: np.ndarray) -> np.ndarray:
        return frame.mean((0, 1))

    extractors = Extractors(landmarks=landmarks, embedding=embedding, features=embedding)
    (found,) = reconstruct([tiny_model], clips, extractors=extractors)
    assert found.figures["lost"].mean == 0
    assert found.figures["akd"].mean > 0
    assert {"aed", "fid"} <= set(found.figures)
    assert set(found.judges) == {"keypoint_distance", "akd", "lost", "aed", "fid"}
    assert found.judges["akd"].endswith(":test_extractors_of_the_user_add_their_measures.<locals>.landmarks")
    assert f"akd: by {found.judges['akd']}" in table([found])
    (blind,) = reconstruct([tiny_model], clips, extractors=Extractors(landmarks=lambda _: None))
    assert "akd" not in blind.figures


@pytest.mark.parametrize(
    ("part", "result", "message"),
    [
        ("landmarks", "left", r"the function for landmarks must return points \(M, 2\) or None, got 'left'"),
        ("landmarks", [1.0, 2.0], r"must return points \(M, 2\) or None, got an array of \(2,\)"),
        ("embedding", {"a": 1}, "the function for embedding must return a vector or None, got {'a': 1}"),
    ],
)
def test_wrong_results_of_extractors_are_named(
    tiny_model: Animator, clips: Path, part: str, result: object, message: str
) -> None:
    with pytest.raises(MediaError, match=message):
        reconstruct([tiny_model], clips, extractors=Extractors(**{part: lambda _: result}))


def test_extractors_must_return_arrays_of_one_shape(tiny_model: Animator, clips: Path) -> None:
    number = itertools.count(1)
    extractors = Extractors(landmarks=lambda _: np.ones((next(number), 2)))
    with pytest.raises(MediaError, match=r"landmarks must return arrays of one shape for all frames, got \(1, 2\) and"):
        reconstruct([tiny_model], clips, extractors=extractors)


def test_a_clip_of_one_frame_is_skipped_and_named(tiny_model: Animator, clips: Path) -> None:
    (clips / "short").mkdir()
    Image.new("RGB", (192, 192)).save(clips / "short" / "0.png")
    (found,) = reconstruct([tiny_model], clips)
    assert "too short" in found.skipped["short"]
    with pytest.raises(MediaError, match=r"no clip of .* could be measured"):
        reconstruct([tiny_model], clips / "short")


def test_a_clip_with_a_broken_end_is_measured_up_to_there_and_named(
    tiny_model: Animator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)) for _ in range(8)]
    path = tmp_path / "clips" / "torn.gif"
    path.parent.mkdir()
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (found,) = reconstruct([tiny_model], path.parent)
    assert "damaged after" in found.damaged["torn.gif"]
    assert set(found.clips) == {"torn.gif"}
    model = save_model(tiny_model, tmp_path / "tiny.safetensors")
    assert main(["reconstruct", str(model), str(path.parent), "--device", "cpu"]) == 0
    assert "measured in part: torn.gif: damaged after" in capsys.readouterr().err


def test_the_commands_write_table_json_and_video(
    tiny_model: Animator, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save_model(tiny_model, tmp_path / "tiny.safetensors")
    report, video = tmp_path / "report.json", tmp_path / "out.mp4"
    options = ["-o", str(report), "--video", str(video), "--device", "cpu"]
    assert main(["evaluate", str(clips), "--model", str(model), "--model", str(model), *options]) == 0
    assert "ssim" in capsys.readouterr().out
    assert len(json.loads(report.read_text())) == 2
    assert video.stat().st_size > 0
    assert main(["reconstruct", str(model), str(clips), "--landmarks", "math:nothing", "--device", "cpu"]) == 2
    assert "cannot be imported" in capsys.readouterr().err


def test_clips_of_one_name_in_two_folders_are_both_measured(tiny_model: Animator, clips: Path, tmp_path: Path) -> None:
    for folder in ("left", "right"):
        shutil.copytree(clips / "one", tmp_path / "both" / folder / "clip")
    (found,) = reconstruct([tiny_model], tmp_path / "both")
    assert set(found.clips) == {"left/clip", "right/clip"}


def test_the_report_is_strict_json(tiny_model: Animator, clips: Path) -> None:
    (found,) = reconstruct(
        [tiny_model], clips / "one", extractors=Extractors(features=lambda frame: frame.mean((0, 1)))
    )
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert json.loads(text)["figures"]["fid"]["low"] is None


def test_the_table_names_models_as_given_and_what_was_not_measured(tiny_model: Animator, clips: Path) -> None:
    (found,) = reconstruct([tiny_model], clips)
    less = replace(found, model="other", figures={"l1": found.figures["l1"]})
    assert "not measured" in table([found, less])
    assert "ssim" in table([less, found])


def test_columns_of_the_table_have_gaps(tiny_model: Animator, clips: Path) -> None:
    (found,) = reconstruct([tiny_model], clips)
    wide = replace(found, figures={"psnr": Figure(1063.12174, 1057.33745, 1068.90611)})
    row = table([wide, wide]).splitlines()[1]
    assert row.split("  ")[-2:] == ["1063.1217 [1057.3374, 1068.9061]"] * 2
