"""The clip's sound in the result; its sine and its steps must be in time with the pictures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from fomaug.media import read_mark
from fomaug.visual import animate_clip

RATE = 48000
FPS = 10


def write_clip(path: Path, codec: str, frames: list[np.ndarray], *, late: int = 0) -> Path:
    """Write a video with a sine of 440 Hz that falls to a fifth after a second; both start `late` frames late."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS)
        video.height, video.width, video.pix_fmt = *frames[0].shape[:2], "yuv420p"
        sound = container.add_stream(codec, rate=RATE, layout="mono")
        for i, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame.pts, frame.time_base = i + late, Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        time = np.arange(RATE * len(frames) // FPS) / RATE
        wave = (np.sin(2 * np.pi * 440 * time) * np.where(time < 1, 0.8, 0.16)).astype(np.float32)[None]
        resampler = av.AudioResampler(sound.codec_context.format.name, "mono", RATE)
        for start in range(0, wave.shape[1], 1024):
            part = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[:, start : start + 1024]), "fltp", "mono")
            part.sample_rate, part.time_base = RATE, Fraction(1, RATE)
            part.pts = start + late * RATE // FPS
            for frame in resampler.resample(part):
                container.mux(sound.encode(frame))
        container.mux(sound.encode())
    return path


def heard(path: Path) -> tuple[str, np.ndarray, float]:
    """Return the codec, the samples and the time of the first sample."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        name = container.streams.audio[0].codec_context.codec.canonical_name
    samples = np.concatenate([frame.to_ndarray().reshape(-1).astype(float) for frame in frames])
    return name, samples / np.abs(samples).max(), float(frames[0].time)


def loudness_falls_at(samples: np.ndarray) -> float:
    block = RATE // 100
    loud = np.sqrt(np.square(samples[: len(samples) // block * block].reshape(-1, block)).mean(1))
    return (np.flatnonzero(loud > 0.4)[-1] + 1) * block / RATE


CLIPS = {
    "copied": ("clip.mp4", "aac", "aac", 0),
    "copied from a stream": ("clip.ts", "aac", "aac", 0),
    "copied, late": ("clip.mkv", "libopus", "opus", 7),
    "made AAC": ("clip.mov", "pcm_s16le", "aac", 0),
    "made AAC, late": ("clip.mkv", "pcm_s16le", "aac", 7),
}


@pytest.mark.parametrize("case", CLIPS)
def test_the_sound_is_synchronous_with_the_clip(case: str, tiny_model, image, tmp_path, media) -> None:
    name, codec, wanted, late = CLIPS[case]
    clip = write_clip(tmp_path / name, codec, media.stripes(20), late=late)
    out = animate_clip(image, clip, tmp_path / "out.mp4", model=tiny_model, crop="frame")
    found, samples, start = heard(out)
    assert found == wanted
    assert np.abs(np.fft.rfft(samples)).argmax() * RATE / len(samples) == pytest.approx(440, abs=2)
    assert start + loudness_falls_at(samples) == pytest.approx(1, abs=0.05)
    assert len(samples) / RATE == pytest.approx(2, abs=0.08)
    assert len(media.frames_of(out)) == 20
    assert read_mark(out).synthetic


def test_packets_are_copied_bit_for_bit(tiny_model, image, tmp_path, media) -> None:
    clip = write_clip(tmp_path / "clip.mp4", "aac", media.stripes(8))
    out = animate_clip(image, clip, tmp_path / "out.mp4", model=tiny_model, crop="frame")
    before, after = ([bytes(packet) for packet in packets(path)] for path in (clip, out))
    assert len(after) > 30
    assert after == before[: len(after)]


def packets(path: Path):
    with av.open(str(path)) as container:
        yield from (packet for packet in container.demux(audio=0) if packet.size)


def test_sound_ends_with_the_pictures(tiny_model, image, tmp_path, media) -> None:
    clip = write_clip(tmp_path / "clip.mp4", "aac", media.stripes(20))
    out = animate_clip(image, clip, tmp_path / "out.mp4", model=tiny_model, crop="frame", max_frames=5)
    assert len(heard(out)[1]) / RATE == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("name", "options"), [("out.mp4", {"audio": False}), ("out.gif", {}), ("out.webp", {})])
def test_results_can_be_silent(name: str, options: dict, tiny_model, image, tmp_path, media) -> None:
    clip = write_clip(tmp_path / "clip.mp4", "aac", media.stripes(4))
    out = animate_clip(image, clip, tmp_path / name, model=tiny_model, crop="frame", **options)
    assert read_mark(out).synthetic
    if name.endswith("mp4"):
        with av.open(str(out)) as container:
            assert not container.streams.audio


def test_silent_clips_and_folders_make_silent_videos(tiny_model, image, clip, tmp_path) -> None:
    out = animate_clip(image, clip, tmp_path / "out.mp4", model=tiny_model, crop="frame")
    with av.open(str(out)) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_pictures_survive_damaged_sound(tiny_model, image, tmp_path, media, rng) -> None:
    clip = write_clip(tmp_path / "clip.mkv", "libopus", media.stripes(12))
    content = bytearray(clip.read_bytes())
    at = content.rindex(bytes(list(packets(clip))[-4]))
    content[at : at + 200] = rng.bytes(200)
    clip.write_bytes(content)
    out = animate_clip(image, clip, tmp_path / "out.mp4", model=tiny_model, crop="frame", on_note=lambda _: None)
    assert 8 < len(media.frames_of(out)) <= 12
