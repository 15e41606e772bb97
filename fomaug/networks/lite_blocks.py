"""Building blocks of the light networks."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomaug.geometry.sampling import can_be_rearranged


def full_precision(like: Tensor) -> contextlib.AbstractContextManager[None]:
    """Disable autocast for coordinates, because the eight bits of bfloat16 cause errors of half a pixel."""
    kind = like.device.type
    if torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return contextlib.nullcontext()


class Pointwise(nn.Conv2d):
    """A 1 x 1 convolution; on a CPU, a matrix product from channels-first input to channels-last output.

    The next convolution reads this layout fastest, and nothing is copied between the two layouts.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, 1, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, h, w) to (B, D, h, w)."""
        if not can_be_rearranged(input):
            return super().forward(input)
        b, _, h, w = input.shape
        inner = F.linear(input.flatten(2).transpose(1, 2), self.weight.flatten(1), self.bias)
        return inner.view(b, h, w, self.out_channels).permute(0, 3, 1, 2)


class ConvBlock(nn.Sequential):
    """3 x 3 convolution without bias, batch norm and ReLU."""

    def __init__(self, in_features: int, out_features: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_features, out_features, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_features),
            nn.ReLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.first = ConvBlock(features, features)
        self.second = nn.Sequential(nn.Conv2d(features, features, 3, 1, 1, bias=False), nn.BatchNorm2d(features))

    def forward(self, x: Tensor) -> Tensor:
        """Transform (B, C, h, w) to the same shape."""
        return F.relu(x + self.second(self.first(x)))


def add_doubled(small: Tensor, large: Tensor) -> Tensor:
    """Add maps (B, C, h, w), at twice their size, to maps (B, C, 2 h, 2 w)."""
    if small.device.type == "cpu" or torch.compiler.is_compiling():
        return F.interpolate(small, scale_factor=2.0, mode="nearest") + large
    return sum_of_views(small, large)


def sum_of_views(small: Tensor, large: Tensor) -> Tensor:
    """Do as `add_doubled`, by one operation that reads every small cell four times: fewer steps for a GPU."""
    b, c, h, w = small.shape
    return (large.reshape(b, c, h, 2, w, 2) + small[:, :, :, None, :, None]).view(large.shape)


class AddingHourglass(nn.Module):
    """A U-Net whose skip connections are added, which halves the cost of each step up.

    Args:
        widths: numbers of features at the full size, half of it, a quarter, ...
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(ConvBlock(wide, narrow, stride=2) for wide, narrow in pairs)
        self.bottom = ResidualBlock(widths[-1])
        self.up = nn.ModuleList(ConvBlock(narrow, wide) for wide, narrow in reversed(pairs))
        self.refine = ConvBlock(widths[0], widths[0])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Transform (B, widths[0], H, W) to the maps of all steps up, coarse to fine; the last has this shape."""
        skips = [x]
        for down in self.down:
            skips.append(down(skips[-1]))
        maps = [self.bottom(skips.pop())]
        for up in self.up:
            maps.append(add_doubled(up(maps[-1]), skips.pop()))
        return *maps[:-1], self.refine(maps[-1])
