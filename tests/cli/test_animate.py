from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from fomaug.animator import Animator
from fomaug.cli import main
from fomaug.cli.driving import animate as command
from fomaug.media import open_video, save_image
from fomaug.visual import AnimateOptions, animate_clip, animate_pairs


def test_options_are_those_of_the_function() -> None:
    ours = command.make_context("animate", ["-o", "out.mp4"]).params
    theirs = {field.name: field.default for field in fields(AnimateOptions)}
    for function in (animate_clip, animate_pairs):
        parameters = inspect.signature(function).parameters
        theirs |= {name: parameter.default for name, parameter in parameters.items()}
    del theirs["out"], theirs["options"], theirs["on_note"]
    assert set(ours) - {"output"} == set(theirs)
    for name, default in theirs.items():
        if name != "progress" and default is not inspect.Parameter.empty:
            assert ours[name] == default, name


def test_animate_writes_the_video_and_says_where(
    tmp_path: Path, tiny_model: Animator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fomaug.visual.animate.load_model", lambda *_, **__: tiny_model)
    image = save_image(tmp_path / "a.png", np.zeros((32, 32, 3), np.uint8))
    with open_video(tmp_path / "clip.gif", 10) as video:
        for i in range(4):
            video.write(np.full((32, 32, 3), 50 * i, np.uint8))
    words = ["animate", str(image), str(tmp_path / "clip.gif"), "-o", str(tmp_path / "out.gif"), "--no-progress"]
    assert main([*words, "--compare", "--absolute", "--strength", "0.5"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out.gif'}\n"
    assert (tmp_path / "out.gif").is_file()
    assert main([*words, "--overlay", "flwo"]) == 2
    assert main([*words, "--crop", "frame", "--reference", "9"]) == 2
    assert "but the clip has 4" in capsys.readouterr().err


def test_many_pairs_end_with_3_if_one_is_damaged(
    tmp_path: Path, tiny_model: Animator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fomaug.visual.pairs.load_model", lambda *_, **__: tiny_model)
    save_image(tmp_path / "a.png", np.zeros((32, 32, 3), np.uint8))
    save_image(tmp_path / "b.png", np.full((32, 32, 3), 99, np.uint8))
    (tmp_path / "pairs.csv").write_text("source,driving\na.png,b.png\n")
    words = ["animate", "--pairs", str(tmp_path / "pairs.csv"), "-o", str(tmp_path / "out"), "--no-progress"]
    assert main([*words, "--crop", "frame"]) == 0
    assert capsys.readouterr().out == f"1 made, in {tmp_path / 'out'}\n"
    (tmp_path / "pairs.csv").write_text("source,driving\na.png,b.png\nb.png,none.png\n")
    assert main([*words, "--crop", "frame"]) == 3
    shown = capsys.readouterr()
    assert shown.out == f"0 made, 1 existed already, in {tmp_path / 'out'}\n"
    assert "1 of the pairs could not be animated" in shown.err
    assert "none.png" in shown.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "out.mp4"], "give IMAGE and CLIP, or a list with --pairs"),
        (["a.png", "b.mp4", "--pairs", "p.csv", "-o", "out"], "remove 'a.png'"),
        (["--pairs", "nowhere.csv", "-o", "out"], "nowhere.csv cannot be read"),
        (["a.png", "b.mp4", "-o", "out.mp4", "--face", "1,2,3"], "X,Y,WIDTH,HEIGHT in pixels, got '1,2,3'"),
    ],
)
def test_wrong_arguments_are_named(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["animate", *words]) == 2
    assert message in capsys.readouterr().err
