"""The small network that a study trains from scratch: cheap enough for a CPU, good enough to tell pictures apart."""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_WIDTH: Final = 24
_HIDDEN: Final = 128


class SmallNetwork(nn.Module):
    """A strided stem, three residual blocks, and two linear layers that see the whole map: faces are roughly aligned.

    Args:
        channels: of the input.
        outputs: number of classes, or twice the number of landmarks.
        side: of the square input in pixels.
        generator: source of the initial weights; the same state gives the same network.
    """

    def __init__(self, channels: int, outputs: int, *, side: int, generator: torch.Generator) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=()):  # torch draws weights of its own, which are replaced below
            self.stem = nn.Sequential(
                nn.Conv2d(channels, _WIDTH, 5, 2, 2, bias=False), nn.BatchNorm2d(_WIDTH), nn.ReLU()
            )
            self.blocks = nn.Sequential(
                _Block(_WIDTH, 2 * _WIDTH), _Block(2 * _WIDTH, 4 * _WIDTH), _Block(4 * _WIDTH, 4 * _WIDTH)
            )
            self.head = _head(side, outputs)
        _draw_weights(self, generator)

    def forward(self, images: Tensor) -> Tensor:
        """Turn images (B, C, S, S) in [0, 1] into (B, outputs)."""
        found: Tensor = self.head(self.blocks(self.stem((images - 0.5) * 4)))
        return found


class _Block(nn.Module):
    """Two convolutions beside a shortcut; halves the map."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.shortcut_norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        path = self.second_norm(self.second(F.relu(self.first_norm(self.first(x)))))
        halved = F.avg_pool2d(x, 2, ceil_mode=True)
        return F.relu(path + self.shortcut_norm(self.shortcut(halved)))


def _head(side: int, outputs: int) -> nn.Sequential:
    for _ in range(4):
        side = math.ceil(side / 2)
    hidden = nn.Linear(4 * _WIDTH * side * side, _HIDDEN, bias=False)
    return nn.Sequential(nn.Flatten(), hidden, nn.BatchNorm1d(_HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, outputs))


def _draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    nn.init.normal_(last.weight, std=0.01, generator=generator)
