"""The hourglass that both the keypoint detector and the dense motion network look through (paper: Sec. 7.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fomaug.networks.blocks import DownBlock, UpBlock


class Encoder(nn.Module):
    """Halve the resolution `num_blocks` times and keep every level."""

    def __init__(self, in_features: int, widths: list[int]) -> None:
        super().__init__()
        pairs = zip([in_features, *widths[1:-1]], widths[1:], strict=True)
        self.down_blocks = nn.ModuleList(DownBlock(before, after) for before, after in pairs)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, C, H, W) to one map per level, the input first."""
        levels = [x]
        for block in self.down_blocks:
            levels.append(block(levels[-1]))
        return levels


class Decoder(nn.Module):
    """Climb back up, joined at every level by what the encoder saw there."""

    def __init__(self, in_features: int, widths: list[int]) -> None:
        super().__init__()
        last = len(widths) - 2
        blocks = [UpBlock(widths[i + 1] * (1 if i == last else 2), widths[i]) for i in range(last, -1, -1)]
        self.up_blocks = nn.ModuleList(blocks)
        self.out_features = widths[0] + in_features

    def forward(self, levels: list[Tensor]) -> Tensor:
        """The encoder's levels to (B, out_features, H, W)."""
        *skips, x = levels
        for block in self.up_blocks:
            x = torch.cat([block(x), skips.pop()], dim=1)
        return x


class Hourglass(nn.Module):
    """Encoder and decoder with skips."""

    def __init__(self, in_features: int, block_expansion: int, max_features: int, num_blocks: int) -> None:
        super().__init__()
        widths = [min(max_features, block_expansion * 2**level) for level in range(num_blocks + 1)]
        self.encoder = Encoder(in_features, widths)
        self.decoder = Decoder(in_features, widths)
        self.out_features = self.decoder.out_features

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_features, H, W) to (B, out_features, H, W)."""
        features: Tensor = self.decoder(self.encoder(x))
        return features
