from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from fomaug.errors import ArgumentError
from fomaug.media import read_mark, save_image
from fomaug.visual import AnimateWarning, Pair, animate_clip, animate_pairs
from fomaug.visual import pairs as _pairs


@pytest.fixture
def folder(image: Path, clip: Path, tmp_path: Path, rng) -> Path:
    """Write two pictures, two clips and a file that is neither."""
    save_image(tmp_path / "b.png", rng.integers(0, 256, (32, 32, 3), "uint8"))
    shutil.copy(clip, tmp_path / "other.mp4")
    (tmp_path / "bad.mp4").write_bytes(b"no video" * 99)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    return tmp_path


@pytest.fixture
def run(tiny_model, folder: Path):
    def call(pairs, **options):
        options = {"model": tiny_model, "crop": "frame", "max_frames": 3, **options}
        return animate_pairs(pairs, folder / "out", **options)

    return call


def listed(folder: Path, *lines: str) -> Path:
    (folder / "pairs.csv").write_text("\n".join(["source,driving,out", *lines]))
    return folder / "pairs.csv"


def test_the_result_of_a_pair_does_not_depend_on_other_pairs(run, tiny_model, folder, media) -> None:
    report = run(listed(folder, "a.png,clip.mp4,", "b.png,clip.mp4,sub/x.gif"))
    assert report.complete
    assert [path.relative_to(folder).as_posix() for path in report.made] == ["out/a--clip.mp4", "out/sub/x.gif"]
    alone = animate_clip(
        folder / "a.png", folder / "clip.mp4", folder / "x.mp4", model=tiny_model, crop="frame", max_frames=3
    )
    for frame, wanted in zip(media.frames_of(report.made[0]), media.frames_of(alone), strict=True):
        assert np.abs(frame.astype(int) - wanted).mean() < 2  # the encoder may make other choices under load
    assert all(read_mark(path).synthetic for path in report.made)


def test_damaged_pairs_are_named_and_the_others_done(run, folder) -> None:
    report = run(
        listed(
            folder, "a.png,bad.mp4,", "a.png,clip.mp4,", "bad.png,clip.mp4,", "none.png,clip.mp4,", "b.png,clip.mp4,"
        )
    )
    assert [path.name for path in report.made] == ["a--clip.mp4", "b--clip.mp4"]
    assert not report.complete
    named = [(failure.source.name, failure.driving.name) for failure in report.failed]
    assert named == [("a.png", "bad.mp4"), ("bad.png", "clip.mp4"), ("none.png", "clip.mp4")]
    for failure, name in zip(report.failed, ("bad.mp4", "bad.png", "none.png"), strict=True):
        assert name in failure.reason
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a--clip.mp4", "b--clip.mp4"]


def test_each_source_is_encoded_and_each_clip_read_once(run, tiny_model, folder, monkeypatch) -> None:
    read: list[str] = []
    for name in ("read_motion", "read_portrait"):
        original = getattr(_pairs, name)

        def counted(path, *args, _original=original, **options):
            read.append(path.name)
            return _original(path, *args, **options)

        monkeypatch.setattr(_pairs, name, counted)
    pairs = [(folder / source, folder / clip) for clip in ("clip.mp4", "bad.mp4", "other.mp4")
             for source in ("a.png", "b.png", "bad.png")]  # fmt: skip
    report = run(pairs)
    assert sorted(read) == sorted(["a.png", "b.png", "bad.png", "clip.mp4", "other.mp4", "bad.mp4"])
    assert len(report.made) == 4
    assert len(report.failed) == 5


def test_existing_results_are_kept_unless_overwrite_is_set(run, folder) -> None:
    pairs = listed(folder, "a.png,clip.mp4,", "b.png,clip.mp4,")
    first = run(pairs)
    first.made[0].unlink()
    times = first.made[1].stat().st_mtime_ns
    second = run(pairs)
    assert (second.made, second.kept) == (first.made[:1], first.made[1:])
    assert first.made[1].stat().st_mtime_ns == times
    third = run(pairs, overwrite=True)
    assert (third.made, third.kept) == (first.made, ())


def test_existing_results_of_another_model_are_kept_and_noted(run, folder) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "a--clip.mp4").write_text("somebody's notes")
    with pytest.warns(AnimateWarning, match=r"a--clip\.mp4 exists, but was not made by this model"):
        report = run(listed(folder, "a.png,clip.mp4,"))
    assert report.kept[0].read_text() == "somebody's notes"


def test_names_are_made_of_source_and_driving_and_are_unique(run, folder) -> None:
    (folder / "more").mkdir()
    shutil.copy(folder / "a.png", folder / "more" / "a.png")
    report = run(
        listed(folder, "a.png,clip.mp4,", "more/a.png,clip.mp4,", "a.png,b.png,"), video_format="gif", on_note=print
    )
    assert sorted(path.name for path in report.made) == ["a--b.png", "a--clip-2.gif", "a--clip.gif"]


def test_a_pair_can_have_its_own_options(run, folder, media) -> None:
    report = run(
        [
            Pair(folder / "a.png", folder / "clip.mp4", options={"max_frames": 2}),
            (folder / "b.png", folder / "clip.mp4"),
        ]
    )
    assert [len(media.frames_of(path)) for path in report.made] == [2, 3]


def test_a_clip_for_which_a_picture_is_named_fails_alone(run, folder) -> None:
    report = run(listed(folder, "a.png,clip.mp4,x.png", "b.png,clip.mp4,"))
    assert "must be an .mp4, .gif or .webp" in report.failed[0].reason
    assert len(report.made) == 1


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (["a.png,clip.mp4,x.mp4", "b.png,clip.mp4,x.mp4"], {}, r"two pairs would be written to .*x\.mp4"),
        (["a.png,clip.mp4,../x.mp4"], {}, r"out is '\.\./x\.mp4', which is outside of"),
        (["a.png,clip.mp4,/x.mp4"], {}, r"out is '/x\.mp4', which is outside of"),
        (["a.png,clip.mp4,x.avi"], {}, r"out is 'x\.avi'; its suffix must be one of \.mp4"),
        (["a.png,clip.mp4,"], {"strenght": 1}, "did you mean 'strength'"),
        (["a.png,clip.mp4,"], {"video_format": "mpeg"}, "video_format must be one of mp4, gif, webp, got 'mpeg'"),
    ],
)
def test_mistakes_are_errors_before_anything_is_made(run, folder, lines, options, message) -> None:
    with pytest.raises(ArgumentError, match=message):
        run(listed(folder, *lines), **options)
    assert not (folder / "out").exists()


def test_the_folder_of_results_must_not_be_a_file(tiny_model, folder) -> None:
    with pytest.raises(ArgumentError, match=r"b\.png is a file; the results of many pairs need a folder"):
        animate_pairs(listed(folder, "a.png,clip.mp4,"), folder / "b.png", model=tiny_model)
