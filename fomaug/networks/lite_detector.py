"""The light keypoint detector: keypoints tied to known points of the face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomaug.device import constant, constants
from fomaug.geometry import identity_grid
from fomaug.networks.blocks import AddingHourglass, ConvBlock, full_precision
from fomaug.types import Keypoints


class Closeup(nn.Module):
    """A network that finds the keypoints of a part of the face in a crop around it.

    The part's first two keypoints are at -1 and 1 of the crop's x axis before the margin; its y axis points down the
    face. The x axes of parts that mirror one another are mirrored as well, so one network is used for both.

    Args:
        num_points: number P of the part's keypoints.
        height: height of the crop on the mean face, which jacobians are relative to.
        margin: width of the crop over the distance of the two keypoints.
        drop: distance of the crop's centre below the two keypoints, in heights of the crop.
        size: (h, w) of the crop in its own pixels, multiples of 8.
    """

    def __init__(
        self, num_points: int, *, height: float, margin: float, drop: float, size: tuple[int, int] = (32, 48)
    ) -> None:
        super().__init__()
        self.num_points, self.height, self.margin, self.drop = num_points, height, margin, drop
        self.size = size
        self.convolutions = nn.Sequential(
            ConvBlock(3, 24, stride=2), ConvBlock(24, 40, stride=2), ConvBlock(40, 64), ConvBlock(64, 64, stride=2)
        )
        self.places = nn.Sequential(
            nn.Linear(64 * size[0] * size[1] // 64, 96), nn.ReLU(inplace=True), nn.Linear(96, 2 * num_points)
        )

    def forward(self, image: Tensor, coarse: Keypoints, rows: tuple[tuple[int, ...], ...], bridge: int) -> Tensor:
        """Find the keypoints of parts.

        Args:
            image: (B, 3, S, S) in [0, 1].
            coarse: approximate keypoints with jacobians.
            rows: (N, P) indices of the P keypoints of each of N parts.
            bridge: keypoint whose jacobian gives the downward direction of the face.

        Returns:
            (B, N, P, 2) points in [-1, 1].
        """
        return find_parts(image, coarse, [(self, rows)], bridge).view(-1, len(rows), self.num_points, 2)

    def find(self, cut: Tensor) -> Tensor:
        """Find the keypoints (B, N P, 2) in crops (B, N, 3, h, w), in the frames of the crops."""
        found: Tensor = self.places(self.convolutions(cut.flatten(0, 1)).flatten(1))
        return found.view(cut.shape[0], -1, 2)


Part = tuple[Closeup, tuple[tuple[int, ...], ...]]
"""A close-up, and for each part of the face that it is used for the indices of its keypoints."""


def find_parts(image: Tensor, coarse: Keypoints, parts: Sequence[Part], bridge: int) -> Tensor:
    """Find the keypoints of all parts, with as few operations as possible: crops of one size are cut out together.

    Args:
        image: (B, 3, S, S) in [0, 1].
        coarse: approximate keypoints with jacobians.
        parts: close-ups and their keypoints.
        bridge: keypoint whose jacobian gives the downward direction of the face.

    Returns:
        (B, M, 2) points in [-1, 1]: those of all parts in their order.
    """
    exact, counts = image.float(), [len(rows) for _, rows in parts]
    cuts: list[Tensor] = []
    with full_precision(image):
        centre, axes = _frames(coarse, parts, bridge)
        first = 0
        for size, group in groupby(closeup.size for closeup, _ in parts):
            last = first + len(list(group))
            together = slice(sum(counts[:first]), sum(counts[:last]))
            cut = _cut_out(exact, centre[:, together], axes[:, together], size).to(image.dtype)
            cuts += torch.split(cut, counts[first:last], 1)
            first = last
    found = torch.cat([closeup.find(cut) for (closeup, _), cut in zip(parts, cuts, strict=True)], 1).float()
    owners = [number for number, row in enumerate(row for _, rows in parts for row in rows) for _ in row]
    part = constant(tuple(owners), image.device)
    with full_precision(image):
        return (axes[:, part] @ found[..., None])[..., 0] + centre[:, part]


def _frames(coarse: Keypoints, parts: Sequence[Part], bridge: int) -> tuple[Tensor, Tensor]:
    """Compute the centres (B, N, 2) and the axes (B, N, 2, 2), as columns, of the crops of all parts."""
    assert coarse.jacobian is not None
    value, rows = coarse.value, [(closeup, row) for closeup, rows in parts for row in rows]
    ends = constant(tuple(row[:2] for _, row in rows), value.device)
    numbers = tuple((c.height / 2, c.drop * 2, c.margin / 2) for c, _ in rows)
    half_height, drop, half_margin = constant(numbers, value.device, value.dtype)[..., None].unbind(1)  # (N, 1) each
    begin, end = value[:, ends].unbind(2)  # (B, N, 2)
    down = half_height * coarse.jacobian[:, bridge, None, :, 1]
    centre = (begin + end) / 2 + drop * down
    return centre, torch.stack([half_margin * (end - begin), down], -1)


def _cut_out(image: Tensor, centre: Tensor, axes: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut crops (B, N, 3, h, w) out of images, and normalise the contrast of each."""
    b, n = image.shape[0], centre.shape[1]
    grid = _grid(size, centre.device, centre.dtype) @ axes.transpose(2, 3) + centre[:, :, None]  # (B, N, h w, 2)
    # The grids of all parts are stacked vertically, so that the image is not copied.
    stacked = grid.view(b, n * size[0], size[1], 2)
    cut = F.grid_sample(image, stacked, padding_mode="border", align_corners=True)
    cut = cut.view(b, 3, n, *size).transpose(1, 2).contiguous()
    deviation, mean = torch.std_mean(cut, (2, 3, 4), keepdim=True)
    return (cut - mean) / (deviation + 0.05)


@constants
def _grid(size: tuple[int, int], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Make the coordinates (h w, 2) of a crop's pixels in its own frame."""
    y, x = (torch.linspace(-1, 1, length, device=device, dtype=dtype) for length in size)
    return torch.stack([x.expand(size), y[:, None].expand(size)], -1).view(-1, 2)


@dataclass(frozen=True)
class LiteDetectorConfig:
    """Numbers of a light keypoint detector.

    Attributes:
        num_keypoints: number K of keypoints.
        input_size: side that images are reduced to first.
        widths: numbers of features at half, a quarter, ... of the input size.
        temperature: temperature of the softmax over a heatmap.
        jacobian_level: number of halvings between the heatmap and the maps of the jacobians.
        eyes: keypoints of each eye for a close-up: outer corner, inner corner, upper lid, lower lid and iris; none by
            default.
        mouth: keypoints at the corners of the mouth, then others of the lips, for a close-up.
        nose: keypoints in the middle of both brows, then others of brows and nose, for a close-up.
        bridge: keypoint whose jacobian gives close-ups the downward direction of the face.
    """

    num_keypoints: int = 28
    input_size: int = 128
    widths: tuple[int, ...] = (24, 48, 80, 128, 160)
    temperature: float = 0.1
    jacobian_level: int = 2
    eyes: tuple[tuple[int, ...], ...] = ()
    mouth: tuple[int, ...] = ()
    nose: tuple[int, ...] = ()
    bridge: int = 15


class Observation(NamedTuple):
    """Output of a detector with its intermediate results.

    Attributes:
        keypoints: the K keypoints.
        coarse: the K keypoints before the close-ups.
        heatmap: (B, K, h, w) probabilities of their positions; each map sums to 1.
    """

    keypoints: Keypoints
    coarse: Keypoints
    heatmap: Tensor


class LiteDetector(nn.Module):
    """A network that finds K keypoints and their jacobians.

    Args:
        config: numbers of the network.
    """

    def __init__(self, config: LiteDetectorConfig) -> None:
        super().__init__()
        self.config = config
        features = config.num_keypoints
        self.stem = ConvBlock(12, config.widths[0])
        self.hourglass = AddingHourglass(config.widths)
        self.heatmap = nn.Conv2d(config.widths[0], features, 3, padding=1)
        self.jacobian = nn.Conv2d(config.widths[config.jacobian_level], 4 * features, 1)
        nn.init.zeros_(self.jacobian.weight)
        with torch.no_grad():
            assert self.jacobian.bias is not None
            self.jacobian.bias.view(features, 4).copy_(torch.tensor([1.0, 0.0, 0.0, 1.0]))
        if config.eyes:
            self.eye = Closeup(len(config.eyes[0]), height=0.21, margin=1.7, drop=-0.05)
        if config.mouth:
            self.mouth = Closeup(len(config.mouth), height=0.5, margin=1.6, drop=0.1)
        if config.nose:
            self.nose = Closeup(len(config.nose), height=0.66, margin=1.4, drop=0.29, size=(48, 48))

    def forward(self, image: Tensor) -> Keypoints:
        """Find the keypoints of images (B, 3, S, S) in [0, 1]."""
        return self.observe(image).keypoints

    def observe(self, image: Tensor) -> Observation:
        """Find the keypoints, and return the intermediate results as well."""
        maps = self.hourglass(self.stem(F.pixel_unshuffle(self._reduced(image) - 0.5, 2)))
        with full_precision(image):
            heatmap = self._probability(self.heatmap(maps[-1].to(self.heatmap.weight.dtype)).float())
        level = self.config.jacobian_level
        affine = self.jacobian(maps[-1 - level]).float()
        coarse = Keypoints(_expected_point(heatmap), _expected_jacobian(affine, F.avg_pool2d(heatmap, 2**level)))
        return Observation(self._refined(image, coarse), coarse, heatmap)

    def _refined(self, image: Tensor, coarse: Keypoints) -> Keypoints:
        """Refine eyes, mouth, brows and nose by close-ups."""
        config = self.config
        parts: list[Part] = [(self.eye, config.eyes)] if config.eyes else []
        parts += [(self.mouth, (config.mouth,))] if config.mouth else []
        parts += [(self.nose, (config.nose,))] if config.nose else []
        if not parts:
            return coarse
        value = coarse.value.clone()
        rows = tuple(point for _, rows in parts for row in rows for point in row)
        value[:, constant(rows, value.device)] = find_parts(image, coarse.detach(), parts, config.bridge)
        return Keypoints(value, coarse.jacobian)

    def _reduced(self, image: Tensor) -> Tensor:
        size = self.config.input_size
        if image.shape[2] == 2 * size:
            return F.avg_pool2d(image, 2)
        if image.shape[2] == size:
            return image
        return F.interpolate(image, size=(size, size), mode="bilinear", antialias=True, align_corners=False)

    def _probability(self, logits: Tensor) -> Tensor:
        return (logits.flatten(2) / self.config.temperature).softmax(-1).view_as(logits)


def _expected_point(probability: Tensor) -> Tensor:
    """(B, K, h, w) to the mean coordinates (B, K, 2); cells are at their centres in the full image's frame."""
    h, w = probability.shape[2:]
    grid = _identity((h, w), probability.device, probability.dtype)
    with full_precision(probability):
        return probability.flatten(2) @ grid


@constants
def _identity(size: tuple[int, int], device: torch.device, dtype: torch.dtype) -> Tensor:
    return identity_grid(size, device=device, dtype=dtype).view(-1, 2)


def _expected_jacobian(affine: Tensor, probability: Tensor) -> Tensor:
    """(B, 4 K, h, w) and (B, K, h, w) summing to 1 / cells pooled, to (B, K, 2, 2)."""
    b, k, h, w = probability.shape
    weight = probability / probability.sum((2, 3), keepdim=True)
    mean = (affine.view(b, k, 4, h * w) * weight.view(b, k, 1, h * w)).sum(-1)  # (B, K, 4)
    return mean.view(b, k, 2, 2)
