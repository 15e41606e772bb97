from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from fomaug.media import open_video, save_image

EXAMPLES = Path(__file__).parents[2] / "examples" / "faces"


@pytest.fixture
def image(tmp_path: Path, rng: np.random.Generator) -> Path:
    small = Image.fromarray(rng.integers(0, 256, (6, 5), np.uint8)).resize((40, 48), Image.Resampling.BICUBIC)
    return save_image(tmp_path / "a.png", np.repeat(np.asarray(small)[..., None], 3, axis=2))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    with open_video(tmp_path / "clip.mp4", 10) as video:
        for frame in stripes(11):
            video.write(frame)
    return tmp_path / "clip.mp4"


def stripes(count: int, size: int = 64) -> list[np.ndarray]:
    """Draw frames with a moving stripe."""
    rows, columns = np.mgrid[:size, :size]
    return [
        np.stack([rows * 3 % 256, (columns + 5 * i) % size * 4, rows + columns], -1).astype(np.uint8)
        for i in range(count)
    ]


@pytest.fixture(scope="session")
def face() -> Path:
    """Return a face that fills its picture."""
    return EXAMPLES / "person_a" / "front.jpg"


@pytest.fixture(scope="session")
def other_face() -> Path:
    return EXAMPLES / "person_b" / "front.jpg"


class Media:
    """Reader of videos, and writer of videos with common flaws."""

    @staticmethod
    def frames_of(path: Path) -> list[np.ndarray]:
        with av.open(str(path)) as container:
            return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]

    @staticmethod
    def stripes(count: int, size: int = 64) -> list[np.ndarray]:
        return stripes(count, size)

    @staticmethod
    def write(
        path: Path,
        frames: list[np.ndarray],
        *,
        codec: str = "libx264",
        pixels: str = "yuv420p",
        source: str = "rgb24",
        times: list[int] | None = None,
    ) -> Path:
        """Write a video of 10 frames a second; `times` are presentation times in tenths of a second."""
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=10)
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = pixels
            stream.codec_context.time_base = Fraction(1, 10)
            for i, array in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(array, format=source)
                frame.pts, frame.time_base = times[i] if times else i, Fraction(1, 10)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path


@pytest.fixture(scope="session")
def media() -> type[Media]:
    return Media
