"""Properties of frames in a video's container: rotation, pixel aspect ratio, times and colours."""

from __future__ import annotations

import struct
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace

from fomaug.media import open_video, read_clip

WIDTH, HEIGHT = 64, 48
ONE = 1 << 16

MATRICES = {
    "as it is": ((1, 0, 0, 1), lambda a: a),
    "quarter turn": ((0, 1, -1, 0), lambda a: np.rot90(a, -1)),
    "half turn": ((-1, 0, 0, -1), lambda a: np.rot90(a, 2)),
    "three quarters": ((0, -1, 1, 0), lambda a: np.rot90(a, 1)),
    "mirrored": ((-1, 0, 0, 1), lambda a: a[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda a: a[::-1]),
    "transposed": ((0, 1, 1, 0), lambda a: a.swapaxes(0, 1)),
    "transversed": ((0, -1, -1, 0), lambda a: np.rot90(a, 2).swapaxes(0, 1)),
}
"""a, b, c, d of each matrix, and how a frame is shown by it."""


def scene() -> np.ndarray:
    """Draw a frame without any symmetry."""
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[: HEIGHT // 2, : WIDTH // 2] = 255
    frame[: HEIGHT // 4, WIDTH // 2 :] = (0, 200, 0)
    return frame


def write_timed(
    path: Path, times: list[float], *, last: float | None = None, rate: int = 25, aspect: Fraction | None = None
) -> Path:
    """Write alternately dark and light frames at given seconds; `last` is the duration of the last one."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "18", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        stream.codec_context.thread_count = 1
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        packets = []
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(
                np.full((HEIGHT, WIDTH, 3), 60 + 120 * (index % 2), np.uint8), format="rgb24"
            )
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            packets += stream.encode(frame)
        packets += stream.encode()
        if last is not None:
            packets[-1].duration = round(last * 1000)
        for packet in packets:
            container.mux(packet)
    return path


@pytest.mark.parametrize("matrix", MATRICES)
def test_all_eight_display_matrices(matrix: str, tmp_path: Path, media) -> None:
    (a, b, c, d), shown = MATRICES[matrix]
    path = media.write_video(tmp_path / "a.mp4", [scene()] * 2)
    stored = next(iter(read_clip(path)))
    data = path.read_bytes()
    offset = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    assert data[offset : offset + 4] == struct.pack(">i", ONE)
    values = (a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30)
    path.write_bytes(data[:offset] + struct.pack(">9i", *values) + data[offset + 36 :])
    clip = read_clip(path)
    frame = next(iter(clip))
    np.testing.assert_array_equal(frame, shown(stored))
    assert clip.size == frame.shape[:2]


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(2, 1), (48, 128)), (Fraction(1, 2), (96, 64)), (Fraction(1, 1), (48, 64))]
)
def test_pixels_become_square_and_none_are_lost(aspect: Fraction, size: tuple[int, int], tmp_path: Path) -> None:
    clip = read_clip(write_timed(tmp_path / "a.mp4", [0, 0.04], aspect=aspect))
    assert clip.size == size
    assert next(iter(clip)).shape == (*size, 3)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_frame_a_second_is_no_damage(suffix: str, tmp_path: Path) -> None:
    damage: list[str] = []
    clip = read_clip(write_timed(tmp_path / f"a.{suffix}", [0, 1, 2, 3, 4, 5], rate=1))
    assert len(list(clip.frames(on_damage=damage.append))) == 6
    assert clip.fps == 1
    assert not damage


def test_a_long_last_frame_is_not_damage_and_keeps_all_motion(tmp_path: Path) -> None:
    damage: list[str] = []
    clip = read_clip(write_timed(tmp_path / "a.mp4", [i / 30 for i in range(40)], last=3.0, rate=30))
    assert len(list(clip.frames(on_damage=damage.append))) == 40
    assert clip.fps == 30
    assert not damage


@pytest.mark.parametrize(
    ("times", "fps"),
    [
        ([i / 30 + (i // 3) / 30 for i in range(40)], 30.0),  # every third frame stays twice as long
        ([i / 25 + (i >= 20) * 2 for i in range(40)], 25.0),  # a pause
        ([i / 25 + (i >= 20) * 2 for i in range(200)], 25.0),
        ([i / 60 for i in range(30)] + [0.5 + i / 15 for i in range(30)], 60.0),
    ],
)
def test_no_frame_of_a_variable_rate_is_left_out(times: list[float], fps: float, tmp_path: Path) -> None:
    clip = read_clip(write_timed(tmp_path / "a.mp4", times, rate=round(fps)))
    assert clip.fps == pytest.approx(fps, rel=0.02)
    light = [bool(frame.mean() > 120) for frame in clip]
    assert sum(one != other for one, other in pairwise(light)) == len(times) - 1
    shown = sum(gap for gap in np.diff(times) if gap <= 1)  # a pause of more than a second is not kept
    assert len(light) / clip.fps == pytest.approx(shown + 1 / fps, abs=1.5 / fps)


PALETTE = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (220, 160, 140), (128, 128, 128), (255,) * 3, (0,) * 3]


def test_written_videos_are_tagged_bt709_and_have_its_colours(tmp_path: Path) -> None:
    frame = np.repeat(np.array(PALETTE, np.uint8), 32, axis=0)[None].repeat(64, axis=0)
    with open_video(tmp_path / "a.mp4", 25) as video:
        for _ in range(3):
            video.write(frame)
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        decoded = next(container.decode(video=0))
        assert (decoded.colorspace, decoded.color_range) == (1, 1)
        seen = decoded.reformat(format="rgb24", src_colorspace=Colorspace.ITU709).to_ndarray()
    assert b"colrnclx\0\x01\0\x01\0\x01" in (tmp_path / "a.mp4").read_bytes()
    for found in (seen, next(iter(read_clip(tmp_path / "a.mp4")))):
        middles = found[32, 16::32].astype(int)
        assert np.abs(middles - PALETTE).max() <= 3


def test_the_header_of_an_mp4_precedes_its_pictures(tmp_path: Path) -> None:
    with open_video(tmp_path / "a.mp4", 25) as video:
        video.write(scene())
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_clips_that_were_once_read_wrongly(shared: Path) -> None:
    faults = shared / "faults"
    for name, count in (("fps1.mp4", 6), ("fps1.mkv", 6), ("lasthold.mp4", 40)):
        damage: list[str] = []
        clip = read_clip(faults / "false_damage" / name)
        assert (len(list(clip.frames(on_damage=damage.append))), damage) == (count, [])
    assert read_clip(faults / "sar" / "anam.mp4").size == (256, 256)
    path = faults / "display_matrix" / "m_hflip.mp4"
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    np.testing.assert_array_equal(next(iter(read_clip(path))), stored[:, ::-1])
