"""Fixtures of many tests."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
sys.path.append(str(Path(__file__).parent))  # `fresh` is imported by its name

from fomaug import Keypoints
from fomaug.faces.canonical import KEYPOINT_POINTS, mean_mesh, mesh_keypoints


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real data and golden tensors beside the project; skip the test without it."""
    folder = Path(os.environ.get("FOMAUG_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip("the shared data is not here; FOMAUG_SHARED names its folder")
    return folder


TINY = {
    "size": 64,
    "common_params": {"num_kp": 4, "num_channels": 3, "estimate_jacobian": True},
    "kp_detector_params": {
        "temperature": 0.1,
        "block_expansion": 8,
        "max_features": 32,
        "scale_factor": 0.25,
        "num_blocks": 3,
    },
    "generator_params": {
        "block_expansion": 8,
        "max_features": 32,
        "num_down_blocks": 2,
        "num_bottleneck_blocks": 2,
        "estimate_occlusion_map": True,
        "dense_motion_params": {"block_expansion": 8, "max_features": 32, "num_blocks": 3, "scale_factor": 0.25},
    },
}


@pytest.fixture(scope="session")
def tiny_config() -> dict[str, object]:
    """Return the configuration of `tiny_model`, in the official layout."""
    return TINY


def build_tiny():  # type: ignore[no-untyped-def]
    """Build a small animator of the official architecture with fixed random weights; it is not a face model."""
    from fomaug.animator import Animator
    from fomaug.networks import build_networks, config_from_dict

    config = config_from_dict(TINY)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        detector, generator = build_networks(config)
        for name, parameter in detector.named_parameters():
            if name.startswith("kp."):
                torch.nn.init.normal_(parameter, std=0.5)
    return Animator(config, detector, generator, name="tiny").requires_grad_(False)


@pytest.fixture(scope="session")
def tiny_model():  # type: ignore[no-untyped-def]
    return build_tiny()


def build_tiny_pool(model):  # type: ignore[no-untyped-def]
    """Build a pool of three labelled tracks of twelve frames, whose points move smoothly."""
    from fomaug import DrivingPool, Keypoints, MotionTrack

    rng = np.random.default_rng(1)
    tracks = []
    for i, name in enumerate(("nod", "shake", "smile")):
        steps = torch.from_numpy(rng.normal(0, 0.02, (12, 4, 2)).cumsum(0)).float()
        start = torch.from_numpy(rng.uniform(-0.5, 0.5, (1, 4, 2))).float()
        jacobian = torch.eye(2) + torch.from_numpy(rng.normal(0, 0.02, (12, 4, 2, 2)).cumsum(0)).float()
        keypoints = Keypoints(start + steps, jacobian)
        tracks.append(MotionTrack(name=name, keypoints=keypoints, fps=25.0, label=name, clip_hash=f"{i:064x}"))
    return DrivingPool(tracks, model_name=model.name, model_hash=model.hash)


@pytest.fixture(scope="session")
def tiny_pool(tiny_model):  # type: ignore[no-untyped-def]
    return build_tiny_pool(tiny_model)


Picture = NDArray[np.uint8]


class Media:
    """Writer of clips whose frames can be identified."""

    @staticmethod
    def grey_steps(count: int, size: tuple[int, int] = (48, 64)) -> list[Picture]:
        """Make uniform grey frames, 10 levels apart, so that their means identify them even after compression."""
        return [np.full((*size, 3), 10 * (index + 1), np.uint8) for index in range(count)]

    @staticmethod
    def step_of(frame: Picture) -> int:
        return round(float(frame.mean()) / 10) - 1

    @staticmethod
    def write_video(
        path: Path,
        frames: list[Picture],
        *,
        fps: int = 25,
        codec: str = "libx264",
        pix_fmt: str = "yuv420p",
        times: list[int] | None = None,
    ) -> Path:
        """Write a video; `times` are presentation times in ticks of 1 / fps instead of 0, 1, 2, ..."""
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=fps)
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = pix_fmt
            stream.codec_context.time_base = Fraction(1, fps)
            stream.codec_context.thread_count = 1
            if codec == "libx264":
                stream.options = {"bf": "0", "g": "4", "crf": "18"}
            for index, pixels in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgba" if pixels.shape[2] == 4 else "rgb24")
                frame.pts = index if times is None else times[index]
                frame.time_base = Fraction(1, fps)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    @staticmethod
    def write_animation(
        path: Path, frames: list[Picture], *, duration: int | list[int] = 40, **options: object
    ) -> Path:
        images = [Image.fromarray(frame) for frame in frames]
        images[0].save(path, save_all=True, append_images=images[1:], duration=duration, loop=0, **options)
        return path

    @staticmethod
    def write_folder(path: Path, frames: list[Picture], name: str = "f{}.png") -> Path:
        path.mkdir(parents=True, exist_ok=True)
        for index, frame in enumerate(frames):
            Image.fromarray(frame).save(path / name.format(index))
        return path


class FaceFinder:
    """A substitute for a face model: the face is the white part of a picture, or arbitrary if there is none."""

    name = "finder"
    keypoint_names = tuple(KEYPOINT_POINTS)
    size = 96
    frames = 0

    def detect(self, frames: torch.Tensor) -> Keypoints:
        self.frames += len(frames)
        return Keypoints(torch.stack([self._find(frame) for frame in frames]).float())

    @staticmethod
    def _find(frame: torch.Tensor) -> torch.Tensor:
        size = np.array(frame.shape[:0:-1])
        rows, columns = np.nonzero(frame.mean(0).numpy() > 0.5)
        if not len(rows):
            return torch.rand(len(KEYPOINT_POINTS), 2, generator=torch.Generator().manual_seed(0))
        low, high = np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()])
        face = mesh_keypoints(mean_mesh()[None]).value[0].numpy()
        face = (face - (face.max(0) + face.min(0)) / 2) / np.ptp(face[:, 1]) * (high[1] - low[1] + 1)
        points = face + (low + high) / 2 + (size.max() - size) // 2
        return torch.from_numpy(points / (size.max() - 1) * 2 - 1)

    @staticmethod
    def marked(left: int, top: int, side: int, size: tuple[int, int] = (200, 300)) -> Picture:
        frame = np.zeros((*size, 3), np.uint8)
        frame[top : top + side, left : left + side] = 255
        return frame


@pytest.fixture
def finder() -> FaceFinder:
    return FaceFinder()


@pytest.fixture(scope="session")
def media() -> type[Media]:
    return Media


@pytest.fixture(scope="session")
def face_model():  # type: ignore[no-untyped-def]
    """Return the shipped model, which is a face model."""
    from fomaug import load_model

    return load_model(device="cpu")


@pytest.fixture
def heard_interrupts() -> Iterator[None]:
    """Make child processes receive interrupts, which background jobs of a shell ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
