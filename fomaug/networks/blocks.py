"""Building blocks of all networks; those of the official one (paper: Sec. 7.1) have its attribute names."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomaug.geometry.plane import can_be_rearranged
from fomaug.networks.convolutions import convolve_positive, has_tiles, is_large, transform_kernels


class SameBlock(nn.Module):
    """Convolution, batch norm and ReLU at one resolution."""

    def __init__(self, in_features: int, out_features: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_features, out_features, kernel_size, padding=kernel_size // 2)
        self.norm = nn.BatchNorm2d(out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Transform (B, C, H, W) to (B, C', H, W)."""
        features: Tensor = F.relu(self.norm(self.conv(x)))
        return features


class DownBlock(SameBlock):
    """A `SameBlock` that halves the resolution after it."""

    def forward(self, x: Tensor) -> Tensor:
        """Reduce (B, C, H, W) to (B, C', H / 2, W / 2)."""
        return F.avg_pool2d(super().forward(x), 2)


class UpBlock(SameBlock):
    """A `SameBlock` that doubles the resolution before it."""

    quarters: Tensor | None

    def __init__(self, in_features: int, out_features: int, kernel_size: int = 3) -> None:
        super().__init__(in_features, out_features, kernel_size)
        self.register_buffer("quarters", None, persistent=False)  # (2, 2, C', C, 2, 2) kernels, see `fold`

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (B, C, H, W) to (B, C', 2 H, 2 W)."""
        if self.quarters is not None and is_large(x):
            return self._by_quarters(x, self.quarters)
        larger: Tensor = F.interpolate(x, scale_factor=2)
        return super().forward(larger)

    def fold(self) -> None:
        """Prepare for evaluation without a batch norm: large maps are convolved before they are doubled.

        The pixels of a doubled map are equal in fours. So of the nine weights of a 3 x 3 kernel several meet the same
        pixel, and their sums are four kernels of 2 x 2, one for each quarter of the result's pixels: 4 products for a
        pixel where there were 9.
        """
        if self.conv.kernel_size == (3, 3) and isinstance(self.norm, nn.Identity):
            kernels = _halves(_halves(self.conv.weight.detach(), 2), 4)  # across, down, C', C, 2, 2
            self.quarters = kernels.transpose(0, 1).contiguous()

    def _by_quarters(self, x: Tensor, kernels: Tensor) -> Tensor:
        b, c, h, w = x.shape
        padded = x.new_zeros(b, h + 2, w + 2, c).permute(0, 3, 1, 2)
        padded[:, :, 1:-1, 1:-1] = x
        larger = x.new_empty(b, h, 2, w, 2, self.conv.out_channels)  # channels innermost
        for down in range(2):
            for across in range(2):
                part = padded[:, :, down : down + h + 1, across : across + w + 1]
                quarter = F.conv2d(part, kernels[down, across], self.conv.bias)
                larger[:, :, down, :, across] = quarter.permute(0, 2, 3, 1)
        return larger.view(b, 2 * h, 2 * w, -1).permute(0, 3, 1, 2).relu_()


def _halves(kernels: Tensor, axis: int) -> Tensor:
    """Sum three weights along an axis to the two that meet different pixels: of even results, then of odd ones."""
    first, middle, last = kernels.unbind(axis)
    even, odd = torch.stack([first, middle + last], axis), torch.stack([first + middle, last], axis)
    return torch.stack([even, odd])


class ResBlock(nn.Module):
    """Two pre-activated convolutions around a shortcut."""

    columns1: Tensor | None
    columns2: Tensor | None

    def __init__(self, features: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, kernel_size, padding=kernel_size // 2)
        self.conv2 = nn.Conv2d(features, features, kernel_size, padding=kernel_size // 2)
        self.norm1 = nn.BatchNorm2d(features)
        self.norm2 = nn.BatchNorm2d(features)
        self.register_buffer("columns1", None, persistent=False)  # transformed kernels, see `fold`
        self.register_buffer("columns2", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform (B, C, H, W) to the same shape."""
        if self.columns1 is not None and self.columns2 is not None and has_tiles(x):
            inner = convolve_positive(self.norm1(x), self.columns1, self.conv1.bias)
            return x + convolve_positive(inner, self.columns2, self.conv2.bias)
        inner = self.conv1(F.relu(self.norm1(x)))
        outer: Tensor = self.conv2(F.relu(self.norm2(inner)))
        return x + outer

    def fold(self) -> None:
        """Prepare for evaluation without a batch norm between the convolutions, see `convolve_positive`."""
        if self.conv1.kernel_size == (3, 3) and isinstance(self.norm2, nn.Identity):
            self.columns1 = transform_kernels(self.conv1.weight.detach())
            self.columns2 = transform_kernels(self.conv2.weight.detach())


class AntiAliasDownsample(nn.Module):
    """Gaussian blur and selection of every n-th pixel."""

    weight: Tensor

    def __init__(self, channels: int, scale_factor: float) -> None:
        super().__init__()
        self.step = round(1 / scale_factor)
        sigma = (1 / scale_factor - 1) / 2
        radius = round(sigma * 4)
        # The kernel is computed on the CPU, since arithmetic on the meta device imports torch._dynamo for a second.
        offsets = torch.arange(-radius, radius + 1, dtype=torch.float32, device="cpu")
        profile = torch.exp(-offsets.square() / (2 * sigma**2))
        kernel = torch.outer(profile, profile)
        kernel = torch.tensor((kernel / kernel.sum()).tolist(), dtype=torch.float32)  # on the default device
        self.register_buffer("weight", kernel.expand(channels, 1, -1, -1).contiguous())

    def forward(self, image: Tensor) -> Tensor:
        """Reduce (B, C, H, W) to (B, C, H / step, W / step)."""
        padding = self.weight.shape[-1] // 2
        blurred = F.conv2d(image, self.weight, padding=padding, groups=self.weight.shape[0])
        return blurred[:, :, :: self.step, :: self.step]


def downsampler(channels: int, scale_factor: float) -> nn.Module:
    """Build the downsampler of a network; it is the identity for a factor of 1."""
    return nn.Identity() if scale_factor == 1 else AntiAliasDownsample(channels, scale_factor)


class Encoder(nn.Module):
    """Blocks that halve the resolution; the maps of every level are kept."""

    def __init__(self, in_features: int, widths: list[int]) -> None:
        super().__init__()
        pairs = zip([in_features, *widths[1:-1]], widths[1:], strict=True)
        self.down_blocks = nn.ModuleList(DownBlock(before, after) for before, after in pairs)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Encode (B, C, H, W) to the maps of all levels, the input first."""
        levels = [x]
        for block in self.down_blocks:
            levels.append(block(levels[-1]))
        return levels


class Decoder(nn.Module):
    """Blocks that double the resolution; the encoder's maps are concatenated at every level."""

    def __init__(self, in_features: int, widths: list[int]) -> None:
        super().__init__()
        last = len(widths) - 2
        blocks = [UpBlock(widths[i + 1] * (1 if i == last else 2), widths[i]) for i in range(last, -1, -1)]
        self.up_blocks = nn.ModuleList(blocks)
        self.out_features = widths[0] + in_features

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Decode the encoder's maps of all levels to (B, out_features, H, W)."""
        *skips, x = levels
        for block in self.up_blocks:
            x = torch.cat([block(x), skips.pop()], dim=1)
        return x


class Hourglass(nn.Module):
    """Encoder and decoder with skip connections."""

    def __init__(self, in_features: int, block_expansion: int, max_features: int, num_blocks: int) -> None:
        super().__init__()
        widths = [min(max_features, block_expansion * 2**level) for level in range(num_blocks + 1)]
        self.encoder = Encoder(in_features, widths)
        self.decoder = Decoder(in_features, widths)
        self.out_features = self.decoder.out_features

    def forward(self, x: Tensor) -> Tensor:
        """Transform (B, in_features, H, W) to (B, out_features, H, W)."""
        features: Tensor = self.decoder(self.encoder(x))
        return features


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
