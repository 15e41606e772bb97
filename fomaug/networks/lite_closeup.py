"""Close-ups: refinement of the keypoints of parts of the face that must be exact to a pixel.

A heatmap's cell is as large as half an open eye. A close-up is a small crop of the full-size image along the line
between two keypoints that are known well enough; a small network regresses the coordinates of the part's keypoints.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomaug.networks.lite_blocks import ConvBlock, full_precision
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
            rows: for each of N parts the indices of its P keypoints.
            bridge: keypoint whose jacobian gives the downward direction of the face.

        Returns:
            (B, N, P, 2) points in [-1, 1].
        """
        b, n = image.shape[0], len(rows)  # an exporter makes a constant of len()
        with full_precision(image):
            centre, axes = self._frames(coarse, rows, bridge)
            grid = self._grid(centre) @ axes.transpose(2, 3) + centre[:, :, None]  # (B, N, h w, 2)
            # The grids of all parts are stacked vertically, so that the image is not copied.
            stacked = grid.view(b, n * self.size[0], self.size[1], 2)
            cut = F.grid_sample(image.float(), stacked, padding_mode="border", align_corners=True)
            cut = cut.view(b, 3, n, *self.size).transpose(1, 2).reshape(b * n, 3, *self.size)
            deviation, mean = torch.std_mean(cut, (1, 2, 3), keepdim=True)
            cut = ((cut - mean) / (deviation + 0.05)).to(image.dtype)
        found = self.places(self.convolutions(cut).flatten(1)).float().view(b, n, self.num_points, 2)
        with full_precision(image):
            points: Tensor = found @ axes.transpose(2, 3) + centre[:, :, None]
        return points

    def _frames(self, coarse: Keypoints, rows: tuple[tuple[int, ...], ...], bridge: int) -> tuple[Tensor, Tensor]:
        """Compute the centres (B, N, 2) and the axes (B, N, 2, 2), as columns, of the crops."""
        assert coarse.jacobian is not None
        begin, end = (coarse.value[:, [row[i] for row in rows]] for i in (0, 1))  # (B, N, 2)
        down = (self.height / 2) * coarse.jacobian[:, bridge, None, :, 1].expand_as(begin)
        centre = (begin + end) / 2 + self.drop * 2 * down
        return centre, torch.stack([self.margin / 2 * (end - begin), down], -1)

    def _grid(self, like: Tensor) -> Tensor:
        """Make the coordinates (h w, 2) of the crop's pixels in its own frame."""
        y, x = (torch.linspace(-1, 1, length, device=like.device, dtype=like.dtype) for length in self.size)
        return torch.stack([x.expand(self.size), y[:, None].expand(self.size)], -1).view(-1, 2)
