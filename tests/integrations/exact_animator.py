"""An animator whose pictures depend only on its flow, for tests in worker processes.

It is a separate module, because worker processes must import the classes of unpickled objects.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fomaug import DrivingPool, Keypoints, MotionTrack
from fomaug.animator import Animator
from fomaug.geometry import identity_grid, warp_image
from fomaug.types import Animated, Source

SQUARE = torch.tensor([[-0.4, -0.4], [0.4, -0.4], [-0.4, 0.4], [0.4, 0.4]])
ZOOM = 0.9  # so that a flow is more than a shift


DOTS = torch.tensor([[20.0, 16.0], [40.0, 20.0], [30.0, 32.0]])  # (x, y) pixel centres


def draw_dots(size: tuple[int, int]) -> np.ndarray:
    """Draw (H, W, 3) uint8 with a round spot in each channel, at `DOTS`."""
    y, x = np.mgrid[: size[0], : size[1]]
    spots = [np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 8) for cx, cy in DOTS.tolist()]
    return (255 * np.stack(spots, -1)).round().astype(np.uint8)


def find_dots(picture: np.ndarray) -> Tensor:
    """Return the centres of mass of the channels of (H, W, 3) as (3, 2) x, y: the spots of `draw_dots`."""
    mass = torch.as_tensor(picture).double().permute(2, 0, 1)
    y, x = torch.meshgrid(*(torch.arange(side).double() for side in mass.shape[1:]), indexing="ij")
    return torch.stack([(mass * x).sum((1, 2)), (mass * y).sum((1, 2))], -1) / mass.sum((1, 2))[:, None]


class ExactAnimator(Animator):
    """An animator that shifts a picture by the motion of the keypoints' mean, and reduces it a little."""

    calls = 0

    def _detect(self, small: Tensor) -> Keypoints:
        found = super()._detect(small)
        # Nearly a square, to which the resting frames of `shifting_pool` are closest.
        return Keypoints(SQUARE.to(found.value) + 0.01 * found.value, found.jacobian)

    def animate(self, source: Source, keypoints: Keypoints, *, differentiable: bool = False) -> Animated:
        self.calls += 1
        shift = (keypoints.value - source.keypoints.value).mean(1)[:, None, None].clamp(-0.25, 0.25)
        height, width = source.image.shape[2:]
        flow = (identity_grid((height, width), device=shift.device) - shift) / ZOOM
        image = warp_image(source.image, flow)
        return Animated(image if differentiable else image.detach(), flow, torch.ones_like(image[:, :1]))


class PaintingAnimator(ExactAnimator):
    """An animator whose occlusion marks the left half of its results as painted."""

    def animate(self, source: Source, keypoints: Keypoints, *, differentiable: bool = False) -> Animated:
        done = super().animate(source, keypoints, differentiable=differentiable)
        occlusion = done.occlusion.clone()
        occlusion[..., : occlusion.shape[-1] // 2] = 0
        return Animated(done.image, done.flow, occlusion)


PAINTED, SHOWN = (10.0, 24.0), (54.0, 24.0)  # points that no motion of `shifting_pool` moves to the other half


def exact_model(tiny: Animator, kind: type[ExactAnimator] = ExactAnimator) -> ExactAnimator:
    return kind(tiny.config, tiny.detector, tiny.generator, name="exact").requires_grad_(False)


def shifting_pool(model: Animator) -> DrivingPool:
    """Make twenty tracks that rest for seven frames, then rotate a little and move in their own directions for five."""
    # Without the rotation, resting frames and others would be equally close to any source.
    share = torch.cat([torch.zeros(7), torch.linspace(0.2, 1, 5)])
    turn = 0.3 * share
    matrix = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()], -1).view(12, 2, 2)
    tracks = []
    for i, angle in enumerate(np.linspace(0, 2 * np.pi, 20, endpoint=False)):
        way = 0.25 * share[:, None, None] * torch.tensor([np.cos(angle), np.sin(angle)]).float()
        keypoints = Keypoints(SQUARE @ matrix + way, torch.eye(2).expand(12, 4, 2, 2).clone())
        tracks.append(MotionTrack(name=f"way {i}", keypoints=keypoints, fps=25.0, label=None, clip_hash=f"{i:064x}"))
    return DrivingPool(tracks, model_name=model.name, model_hash=model.hash)


def moved_px(xy: Tensor, flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the pixels (..., 2) to which an `ExactAnimator` moves pixels, by its formula."""
    half = torch.tensor([(size[1] - 1) / 2, (size[0] - 1) / 2])
    shift = -flow.mean((0, 1, 2)) * ZOOM  # the mean of the identity is 0
    return ((xy / half - 1) * ZOOM + shift + 1) * half


class Pictures:
    """A map-style dataset of copies of one picture, each through an albumentations pipeline."""

    def __init__(self, picture: np.ndarray, transform: Any, length: int) -> None:
        self.picture = picture
        self.transform = transform
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> np.ndarray:
        return self.transform(image=self.picture)["image"]
