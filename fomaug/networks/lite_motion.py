"""The light dense motion network: one flow from K local affine motions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomaug._types import Keypoints
from fomaug.geometry.grid import gaussian_heatmap, identity_grid
from fomaug.geometry.matrix import inverse_2x2
from fomaug.networks.lite_blocks import AddingHourglass, ConvBlock


@dataclass(frozen=True)
class LiteMotionConfig:
    """Numbers of a light dense motion network.

    Attributes:
        size: of the grid the flow lives on.
        widths: features at the grid's size, half of it, a quarter, ...
        variance: of the Gaussians that show the keypoints.
        residual: how far the flow may leave the mixture of local motions, in normalised units.
    """

    size: int = 64
    widths: tuple[int, ...] = (32, 56, 96, 128, 160)
    variance: float = 0.004
    residual: float = 0.2


class LiteMotion(nn.Module):
    """Predict flow, occlusion and the share of every local motion.

    Args:
        config: its numbers.
        num_keypoints: K.
    """

    def __init__(self, config: LiteMotionConfig, num_keypoints: int) -> None:
        super().__init__()
        self.config = config
        self.num_keypoints = num_keypoints
        self.stem = ConvBlock(2 * num_keypoints + 3, config.widths[0], kernel_size=1)
        self.hourglass = AddingHourglass(config.widths)
        self.head = nn.Conv2d(config.widths[0], num_keypoints + 4, 3, padding=1)
        with torch.no_grad():
            self.head.weight[-3:] = 0.0
            assert self.head.bias is not None
            self.head.bias[-3:] = torch.tensor([2.0, 0.0, 0.0])

    def reduce(self, image: Tensor) -> Tensor:
        """Reduce images to the grid's size."""
        size = self.config.size
        if image.shape[2] == 4 * size:
            return F.avg_pool2d(image, 4)
        return F.interpolate(image, size=(size, size), mode="bilinear", antialias=True, align_corners=False)

    def forward(self, small: Tensor, source: Keypoints, driving: Keypoints) -> tuple[Tensor, Tensor, Tensor]:
        """Predict the motion of reduced images (B, 3, h, w).

        Returns:
            The flow (B, h, w, 2), the occlusion (B, 1, h, w) and the mask (B, K + 1, h, w), background first.
        """
        h, w = small.shape[2:]
        motions = local_motions(source, driving, (h, w))  # (B, K + 1, h, w, 2)
        shown = self._shown(small, motions, source, driving)
        logits = self.head(self.hourglass(self.stem(shown))[-1]).float()
        mask = logits[:, : self.num_keypoints + 1].softmax(1)
        occlusion = logits[:, -3:-2].sigmoid()
        mixed = (motions * mask[..., None]).sum(1)  # (B, h, w, 2)
        residual = self.config.residual * torch.tanh(logits[:, -2:]).permute(0, 2, 3, 1)
        return mixed + residual, occlusion, mask

    def _shown(self, small: Tensor, motions: Tensor, source: Keypoints, driving: Keypoints) -> Tensor:
        b, _, h, w = small.shape
        k, variance = self.num_keypoints, self.config.variance
        moved = gaussian_heatmap(driving.value.float(), (h, w), variance) - gaussian_heatmap(
            source.value.float(), (h, w), variance
        )
        grey = small.float().mean(1, keepdim=True)
        stacked = motions[:, 1:].reshape(b, k * h, w, 2)  # all K pictures below one another: one call, no copies
        warped = F.grid_sample(grey, stacked, padding_mode="border", align_corners=True).view(b, k, h, w)
        return torch.cat([moved, warped - grey, small.float() - 0.5], 1)


def local_motions(source: Keypoints, driving: Keypoints, size: tuple[int, int]) -> Tensor:
    """Carry a grid by every keypoint's affine motion, the background's identity first (paper: Eq. 4).

    Returns:
        (B, K + 1, h, w, 2) backward motions.
    """
    b, k, _ = driving.value.shape
    grid = identity_grid(size, device=driving.value.device)
    assert source.jacobian is not None and driving.jacobian is not None
    affine = source.jacobian.float() @ inverse_2x2(driving.jacobian.float())  # (B, K, 2, 2)
    shift = source.value.float() - (affine @ driving.value.float()[..., None])[..., 0]
    moved = grid.view(1, 1, -1, 2) @ affine.transpose(2, 3) + shift[:, :, None]  # (B, K, h w, 2)
    identity = grid.expand(b, 1, *size, 2)
    return torch.cat([identity, moved.view(b, k, *size, 2)], 1)
