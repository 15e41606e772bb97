from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fomaug.evaluation import comparison_video
from fomaug.evaluation.reconstruction import headings
from fomaug.media import read_clip, read_mark


def frame(value: int, height: int = 32, width: int = 48) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_columns_are_source_driving_and_the_models_in_order(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with comparison_video(path, ["a", "b"], fps=10) as watch:
        watch("clip", frame(250), frame(150), [frame(90), frame(20)])
        watch("other", frame(250, 64, 64), frame(150, 64, 64), [frame(90, 64, 64), frame(20, 64, 64)])
    clip = read_clip(path)
    frames = list(clip.frames())
    assert (len(frames), clip.fps) == (2, 10)
    for shown in frames:
        assert shown.shape == (52, 4 * 48, 3)
        columns = [float(shown[24:, x * 48 + 4 : x * 48 + 44].mean()) for x in range(4)]
        assert columns == pytest.approx([250, 150, 90, 20], abs=4)
    assert read_mark(path).synthetic and read_mark(path).model == "a, b"


def test_headings_are_above_their_columns_and_shortened_to_them() -> None:
    band = headings(["source", "driving", "x" * 200, ""], 80)
    assert band.shape == (20, 320, 3)
    inked = [(band[:, x * 80 : (x + 1) * 80] < 128).any() for x in range(4)]
    assert inked == [True, True, True, False]
    assert (band[:, 80 - 2 : 80] == 255).all() and (band[:, 240 - 2 : 240] == 255).all()
    assert not np.array_equal(band[:, :80], band[:, 80:160])


def test_an_interrupted_video_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dimensions"), comparison_video(tmp_path / "out.mp4", ["a"]) as watch:
        watch("clip", frame(1), frame(2), [frame(3)[..., 0]])
    assert not list(tmp_path.iterdir())
