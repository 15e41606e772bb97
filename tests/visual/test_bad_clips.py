"""Flawed clips and pictures: errors name the file, and good parts are used."""

from __future__ import annotations

import shutil
import weakref
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from fomaug import Animator
from fomaug.errors import ArgumentError, MediaError
from fomaug.media import VideoWriter, save_image
from fomaug.visual import AnimateWarning, animate_clip
from fomaug.visual import animate as _animate


def run(model: Animator, image: Path, clip: Path, **options: object) -> Path:
    return animate_clip(image, clip, image.parent / "out.mp4", model=model, **{"crop": "frame", **options})


def test_a_video_without_frames_is_named_and_leaves_no_file(tiny_model, image, tmp_path, media) -> None:
    path = media.write(tmp_path / "none.avi", media.stripes(2), codec="mpeg4")
    path.write_bytes(path.read_bytes().replace(b"00dc", b"JUNK"))
    with pytest.raises(MediaError, match=r"none\.avi has no frame that can be read"):
        run(tiny_model, image, path)
    assert not (tmp_path / "out.mp4").exists()


def test_a_video_of_one_frame_is_a_driving_picture(tiny_model, image, tmp_path, media) -> None:
    path = media.write(tmp_path / "one.mp4", media.stripes(1))
    assert len(media.frames_of(run(tiny_model, image, path))) == 25
    assert len(media.frames_of(run(tiny_model, image, path, max_frames=1))) == 1, "but not if no more is asked for"


def test_a_video_that_changes_its_size_is_animated_whole(tiny_model, image, tmp_path, media) -> None:
    small = media.write(tmp_path / "small.ts", media.stripes(6, 64))
    large = media.write(tmp_path / "large.ts", media.stripes(5, 128))
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    notes: list[str] = []
    result = media.frames_of(run(tiny_model, image, both, compare=True, on_note=notes.append))
    assert len(result) == 11
    assert {frame.shape for frame in result} == {(48, 40 + 4 + 48 + 4 + 40, 3)}


def test_a_video_of_variable_rate_keeps_its_length(tiny_model, image, tmp_path, media) -> None:
    path = media.write(tmp_path / "slow.mp4", media.stripes(4), times=[0, 1, 5, 6])
    with av.open(str(run(tiny_model, image, path))) as container:
        (stream,) = container.streams
        assert float(stream.duration * stream.time_base) == pytest.approx(0.7, abs=0.02)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_video_with_a_broken_end_is_used_up_to_the_damage(codec, tiny_model, image, tmp_path, media, rng) -> None:
    noise = [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(40)]
    path = media.write(tmp_path / "cut.mkv", noise, codec=codec)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(AnimateWarning, match=r"cut\.mkv: damaged after \d+ frames"):
        out = run(tiny_model, image, path)
    assert 5 < len(media.frames_of(out)) < 40


PIXELS = {
    "grey": ("gray", "gray", (64, 64), np.uint8),
    "RGBA": ("bgra", "bgra", (64, 64, 4), np.uint8),
    "grey of 16 bits": ("gray16le", "gray16le", (64, 64), np.uint16),
    "planes of 10 bits": ("yuv420p10le", "rgb24", (64, 64, 3), np.uint8),
}


@pytest.mark.parametrize("kind", PIXELS)
def test_videos_of_every_kind_of_pixel_are_read(kind, tiny_model, image, tmp_path, media, rng) -> None:
    pixels, source, shape, dtype = PIXELS[kind]
    frames = [rng.integers(0, np.iinfo(dtype).max, shape, dtype) for _ in range(3)]
    path = media.write(tmp_path / "clip.mkv", frames, codec="ffv1", pixels=pixels, source=source)
    assert len(media.frames_of(run(tiny_model, image, path))) == 3


def test_folders_may_mix_kinds_of_pictures(tiny_model, image, tmp_path, media, rng) -> None:
    folder = tmp_path / "frames"
    for name, shape, dtype in (
        ("1.png", (40, 40), np.uint8),
        ("2.png", (40, 40, 4), np.uint8),
        ("3.png", (40, 40), np.uint16),
        ("10.tif", (40, 40, 3), np.uint16),
    ):
        save_image(folder / name, rng.integers(0, np.iinfo(dtype).max, shape, dtype))
    Image.new("P", (40, 40), 3).save(folder / "4.png")
    assert len(media.frames_of(run(tiny_model, image, folder))) == 5


def test_pictures_of_sixteen_bits_are_animated(tiny_model, clip, tmp_path, media, rng) -> None:
    image = save_image(tmp_path / "deep.png", rng.integers(0, 65536, (32, 48, 3), np.uint16))
    assert media.frames_of(run(tiny_model, image, clip, max_frames=2))[0].shape == (32, 48, 3)


def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded(tiny_model, image, clip) -> None:
    with pytest.raises(MediaError, match=r"a\.png .*has 40 x 48 pixels, more than max_pixels=1000"):
        run(tiny_model, image, clip, max_pixels=1000)


def test_too_little_memory_is_an_error_that_names_the_files(tiny_model, image, clip, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000000000 bytes")

    monkeypatch.setattr(_animate, "read_portrait", full)
    with pytest.raises(MediaError, match=r"out of memory with .*a\.png and .*clip\.mp4; use a smaller picture"):
        run(tiny_model, image, clip)


def test_other_failures_are_not_reported_as_lack_of_memory(tiny_model, image, clip, monkeypatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(_animate, "read_portrait", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        run(tiny_model, image, clip)


def test_a_folder_of_clips_is_not_one_clip(tiny_model, image, clip, tmp_path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(clip, folder / name)
    with pytest.raises(ArgumentError, match=r"clips is a folder of 2 clips; give one of them: a\.mp4"):
        run(tiny_model, image, folder)
    for options in ({}, {"source_frame": "first"}):
        with pytest.raises(MediaError, match=r"clips has no pictures, but 2 clips; give one of them: a\.mp4, b\.mp4$"):
            run(tiny_model, folder, clip, **options)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError, match="empty holds neither pictures nor clips"):
        run(tiny_model, image, tmp_path / "empty")


def test_a_path_that_cannot_be_written_is_named(tiny_model, image, clip, tmp_path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for name in ("out.mp4", "out.png"):
        with pytest.raises(MediaError, match=rf"{name} cannot be written"):
            animate_clip(image, clip if name == "out.mp4" else image, tmp_path / "file" / name, model=tiny_model,
                         crop="frame")  # fmt: skip


def test_at_most_one_batch_of_frames_is_in_memory(tiny_model, image, tmp_path, media, monkeypatch) -> None:
    """Memory does not grow with the clip, because results are freed soon after they are written."""
    written: list[weakref.ref[np.ndarray]] = []
    most = 0
    original = VideoWriter.write

    def counted(writer: VideoWriter, frame: np.ndarray) -> None:
        nonlocal most
        written.append(weakref.ref(frame))
        most = max(most, sum(ref() is not None for ref in written))
        original(writer, frame)

    path = media.write(tmp_path / "long.mp4", media.stripes(60))
    monkeypatch.setattr(VideoWriter, "write", counted)
    run(tiny_model, image, path, compare=True)
    assert len(written) == 60
    assert most <= 2
