from __future__ import annotations

import hashlib
import itertools
import os
import struct
import sys
import weakref
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomaug.errors import ArgumentError, MediaError
from fomaug.media import Clip, DamagedClipWarning, find_clips, read_clip
from fomaug.media import clips as _clips
from fomaug.media import stills as _stills

WRITERS = {
    "mp4": lambda media, path: media.write_video(path, media.grey_steps(9)),
    "mov": lambda media, path: media.write_video(path, media.grey_steps(9)),
    "avi": lambda media, path: media.write_video(path, media.grey_steps(9), codec="mpeg4"),
    "webm": lambda media, path: media.write_video(path, media.grey_steps(9), codec="libvpx"),
    "gif": lambda media, path: media.write_animation(path, media.grey_steps(9)),
    "webp": lambda media, path: media.write_animation(path, media.grey_steps(9), lossless=True),
    "png": lambda media, path: media.write_animation(path, media.grey_steps(9)),
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_the_frames_of_every_format_are_in_order(suffix: str, tmp_path: Path, media) -> None:
    path = WRITERS[suffix](media, tmp_path / f"clip.{suffix}")
    clip = read_clip(path)
    frames = list(clip)
    assert [media.step_of(frame) for frame in frames] == list(range(9))
    assert all(frame.shape == (48, 64, 3) and frame.dtype == np.uint8 for frame in frames)
    assert clip.size == (48, 64)
    assert clip.fps == pytest.approx(25, rel=1e-3)
    assert clip.hash == hashlib.sha256(path.read_bytes()).hexdigest()
    assert clip.name == "clip"


def test_a_folder_is_read_in_natural_order(tmp_path: Path, media) -> None:
    folder = media.write_folder(tmp_path / "take.one", media.grey_steps(12))
    (folder / "notes.txt").write_text("no frame")
    clip = read_clip(folder, fps=12)
    assert [media.step_of(frame) for frame in clip] == list(range(12))
    assert clip.fps == 12
    assert clip.name == "take.one"
    assert read_clip(folder).fps == 25


def test_the_hash_of_a_folder_depends_on_names_and_contents(tmp_path: Path, media) -> None:
    frames = media.grey_steps(3)
    plain, same, renamed, reordered = (
        read_clip(media.write_folder(tmp_path / folder, content, name)).hash
        for folder, content, name in (
            ("a", frames, "f{}.png"),
            ("b", frames, "f{}.png"),
            ("c", frames, "g{}.png"),
            ("d", frames[::-1], "f{}.png"),
        )
    )
    assert plain == same
    assert len({plain, renamed, reordered}) == 3


def test_each_pass_starts_at_the_first_frame(tmp_path: Path, media) -> None:
    clip = read_clip(media.write_video(tmp_path / "a.mp4", media.grey_steps(4)))
    assert [f.tolist() for f in clip] == [f.tolist() for f in clip.frames()]


def test_one_frame_is_a_clip(tmp_path: Path, media) -> None:
    assert len(list(read_clip(media.write_video(tmp_path / "a.mp4", media.grey_steps(1))))) == 1
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    assert next(iter(read_clip(tmp_path / "a.png"))).shape == (8, 8, 3)


def test_max_frames_ends_the_clip(tmp_path: Path, media) -> None:
    path = media.write_video(tmp_path / "a.mp4", media.grey_steps(9))
    assert [media.step_of(frame) for frame in read_clip(path, max_frames=3)] == [0, 1, 2]
    with pytest.raises(ArgumentError, match="max_frames must be 1 or more, got 0"):
        read_clip(path, max_frames=0)
    with pytest.raises(ArgumentError, match="fps must be more than 0, got -1"):
        read_clip(path, fps=-1)


def test_variable_rate_follows_presentation_times(tmp_path: Path, media) -> None:
    path = media.write_video(tmp_path / "a.mp4", media.grey_steps(4), fps=10, times=[0, 1, 5, 6])
    shown = [media.step_of(frame) for frame in read_clip(path, fps=10)]
    assert shown == [0, 1, 1, 1, 1, 2, 3]


def test_gif_durations_are_presentation_times(tmp_path: Path, media) -> None:
    path = media.write_animation(tmp_path / "a.gif", media.grey_steps(4), duration=[100, 300, 100, 100])
    clip = read_clip(path)
    assert clip.fps == 10
    assert [media.step_of(frame) for frame in clip] == [0, 1, 1, 1, 2, 3]


def test_rotation_of_a_phone_video_is_applied(tmp_path: Path, media) -> None:
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:24, :32] = 255  # top left
    path = media.write_video(tmp_path / "a.mp4", [frame] * 2)
    path.write_bytes(_turned_clockwise(path.read_bytes()))
    clip = read_clip(path)
    turned = next(iter(clip))
    assert clip.size == turned.shape[:2] == (64, 48)
    corners = [turned[8, 8], turned[8, -8], turned[-8, -8], turned[-8, 8]]
    assert [bool(corner.mean() > 127) for corner in corners] == [False, True, False, False]


def _turned_clockwise(data: bytes) -> bytes:
    """Write the display matrix of a quarter turn into the track header of an mp4."""
    at = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    assert data[at : at + 4] == struct.pack(">i", 1 << 16)
    matrix = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    return data[:at] + matrix + data[at + 36 :]


@pytest.mark.parametrize(("codec", "pix_fmt"), [("qtrle", "argb"), ("png", "rgba")])
def test_transparent_areas_of_a_video_are_white(codec: str, pix_fmt: str, tmp_path: Path, media) -> None:
    frame = np.full((48, 64, 4), (200, 0, 0, 255), np.uint8)
    frame[:, 32:, 3] = 0
    [seen] = read_clip(media.write_video(tmp_path / "a.mov", [frame], codec=codec, pix_fmt=pix_fmt))
    assert (seen[:, :32] == (200, 0, 0)).all()
    assert (seen[:, 32:] == 255).all()


def test_frames_of_another_size_are_fitted_into_the_first_ones(tmp_path: Path, media) -> None:
    folder = media.write_folder(
        tmp_path / "a", [np.full((20, 20, 3), 9, np.uint8), np.full((40, 80, 3), 200, np.uint8)]
    )
    frames = list(read_clip(folder))
    assert [frame.shape for frame in frames] == [(20, 20, 3)] * 2
    assert (frames[1][5:15] == 200).all()
    assert (frames[1][:5] == 0).all()


@pytest.mark.parametrize(("suffix", "codec"), [("avi", "mpeg4"), ("webm", "libvpx")])
def test_a_truncated_video_keeps_the_frames_before_the_damage_and_reports_it(
    suffix: str, codec: str, tmp_path: Path, media
) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(50)]
    path = media.write_video(tmp_path / f"a.{suffix}", noise, codec=codec)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    damages: list[str] = []
    frames = list(read_clip(path).frames(on_damage=damages.append))
    assert 2 < len(frames) < 45
    assert len(damages) == 1
    assert damages[0].startswith(f"damaged after {len(frames)} frames")


def test_damage_is_warned_of_by_default(tmp_path: Path, media) -> None:
    folder = media.write_folder(tmp_path / "a", media.grey_steps(3))
    (folder / "f1.png").write_bytes(b"no picture")
    with pytest.warns(DamagedClipWarning, match=r"a: f1\.png is left out"):
        assert len(list(read_clip(folder))) == 2


def test_a_truncated_gif_keeps_the_frames_before_the_damage_and_reports_it(tmp_path: Path, media) -> None:
    path = media.write_animation(tmp_path / "a.gif", media.grey_steps(9))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    damages: list[str] = []
    frames = list(read_clip(path).frames(on_damage=damages.append))
    assert [media.step_of(frame) for frame in frames] == list(range(len(frames)))
    assert 1 < len(frames) < 9
    assert any("damaged" in damage for damage in damages)


def test_a_damaged_picture_of_a_folder_is_left_out_and_named(tmp_path: Path, media) -> None:
    folder = media.write_folder(tmp_path / "a", media.grey_steps(4))
    (folder / "f2.png").write_bytes((folder / "f2.png").read_bytes()[:60])
    with pytest.warns(DamagedClipWarning, match=r"f2\.png is left out"):
        assert [media.step_of(frame) for frame in read_clip(folder)] == [0, 1, 3]


def _bomb(path: Path) -> Path:
    """Make a PNG of a few bytes that states a size of 30000 x 30000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))
    return path


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _empty_folder(path: Path) -> Path:
    path.mkdir()
    return path


HLS = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n"
BAD = {
    "missing": (lambda tmp: tmp / "no.mp4", "there is no clip"),
    "empty": (lambda tmp: _written(tmp / "a.mp4", b""), "is empty"),
    "text": (lambda tmp: _written(tmp / "a.mp4", b"<html>not found</html>" * 50), "is not a video that can be read"),
    "playlist": (lambda tmp: _written(tmp / "a.mp4", HLS), "is not a video that can be read"),
    "text as gif": (lambda tmp: _written(tmp / "a.gif", b"GIF89a nonsense"), r"a\.gif"),
    "empty folder": (
        lambda tmp: _empty_folder(tmp / "a"),
        "has neither pictures nor clips; supported pictures are .jpg",
    ),
    "bomb": (lambda tmp: _bomb(tmp / "a.png"), "a.png"),
}


@pytest.mark.parametrize("case", BAD)
def test_other_files_are_refused_by_name(case: str, tmp_path: Path) -> None:
    make, message = BAD[case]
    path = make(tmp_path)
    with pytest.raises(MediaError, match=message) as caught:
        read_clip(path)
    assert path.name in str(caught.value)


def test_a_file_with_only_sound_is_refused(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(MediaError, match=r"a\.mp4 has no pictures, only audio"):
        read_clip(tmp_path / "a.mp4")


def test_only_a_few_frames_are_in_memory_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    alive: set[int] = set()
    most = 0

    def endless():
        nonlocal most
        for index in itertools.count():
            frame = np.zeros((8, 8, 3), np.uint8)
            alive.add(index)
            weakref.finalize(frame, alive.discard, index)
            most = max(most, len(alive))
            yield index / 25, frame
            del frame

    monkeypatch.setattr(_clips, "_frames", lambda path, on_damage: endless())
    clip = Clip(Path("long.mp4"), 25.0, "", (8, 8), max_frames=2000)
    assert sum(1 for _ in clip) == 2000
    assert most <= 4


def test_clips_are_found_below_folders(tmp_path: Path, media) -> None:
    clips = tmp_path / "clips"
    media.write_folder(clips / "b" / "take2", media.grey_steps(2))
    media.write_folder(clips / "b" / "take10", media.grey_steps(2))
    media.write_animation(clips / "a.webp", media.grey_steps(2), lossless=True)
    media.write_video(clips / "c.MP4", media.grey_steps(2))
    (clips / "c.txt").write_text("no clip")
    (clips / ".hidden.mp4").write_text("no clip")
    assert [path.relative_to(clips).as_posix() for path in find_clips(clips)] == [
        "a.webp",
        "c.MP4",
        "b/take2",
        "b/take10",
    ]
    assert find_clips(clips / "b" / "take2") == [clips / "b" / "take2"]
    assert find_clips(clips / "c.MP4") == [clips / "c.MP4"]
    with pytest.raises(MediaError, match="no file or folder"):
        find_clips(tmp_path / "nowhere")


def test_a_still_webp_is_a_picture_and_not_a_clip(tmp_path: Path, media) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.webp")
    assert find_clips(tmp_path) == [tmp_path]
    assert _stills.folder_pictures(tmp_path) == [tmp_path / "a.webp"]


def test_real_clips_are_read_whole(shared: Path) -> None:
    for path in sorted((shared / "clips").glob("*.mp4"))[:2]:
        clip = read_clip(path, max_frames=200)
        assert clip.fps == 25
        assert clip.size == (256, 256)
        assert 8 <= sum(1 for _ in clip) <= 150


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_of_frames_that_are_not_utf8_are_part_of_the_hash(tmp_path: Path, media) -> None:
    hashes = []
    for byte in (b"\xe8", b"\xe9"):
        folder = media.write_folder(tmp_path / byte.hex(), media.grey_steps(1))
        (frame,) = folder.iterdir()
        frame.rename(folder / os.fsdecode(byte + b".png"))
        clip = read_clip(folder)
        assert len(list(clip)) == 1
        hashes.append(clip.hash)
    assert len(set(hashes)) == 2
