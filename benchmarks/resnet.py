"""A network of the size of ResNet-18 in plain torch; its training step is the baseline of the benchmarks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, given: int, made: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(given, made, 3, stride, 1, bias=False), nn.BatchNorm2d(made), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(made, made, 3, 1, 1, bias=False), nn.BatchNorm2d(made))
        self.shortcut = nn.Conv2d(given, made, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(self.first(x)) + self.shortcut(x))


def resnet18() -> nn.Module:
    """Build it: (B, 3, H, W) float to (B, 1000)."""

    def stages() -> Iterator[nn.Module]:
        for given, made, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
            yield Residual(given, made, stride)
            yield Residual(made, made, 1)

    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *stages(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))
