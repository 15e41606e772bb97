"""What shows when a closed mouth is opened: a dark hole and a strip of teeth, drawn between the lips."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

UPPER_INNER: Final = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER: Final = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)


def mouth_gap(mesh: Tensor) -> Tensor:
    """Measure how far the inner lips stand apart: (B,) of meshes (B, 478, 2 or 3), in face heights."""
    gap: Tensor = (mesh[:, 14, :2] - mesh[:, 13, :2]).norm(dim=-1)
    height: Tensor = (mesh[:, 152, :2] - mesh[:, 10, :2]).norm(dim=-1)
    return gap / height


def fill_mouth(image: Tensor, mesh: Tensor, closed: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw the inside of mouths that were closed in the portrait and stand open now.

    Both halves of a batch show the same faces, so they share the look of the inside.

    Args:
        image: (2 B, 3, S, S) in [0, 1].
        mesh: (2 B, 478, 2) normalised.
        closed: (2 B,) bool, whether the portrait's mouth was closed.
        generator: where the randomness comes from.

    Returns:
        The pictures, and (2 B, 1, S, S) where something was drawn.
    """
    half = len(image) // 2
    look = torch.rand(half, 6, generator=generator)
    holes = torch.zeros_like(image[:, :1])
    image = image.clone()
    for row in torch.nonzero(closed & (mouth_gap(mesh) > 0.02)).flatten().tolist():
        _fill(image[row], holes[row], mesh[row], look[row % half])
    return image, holes


def _fill(image: Tensor, hole: Tensor, mesh: Tensor, look: Tensor) -> None:
    size = image.shape[1]
    points = (mesh + 1) / 2 * (size - 1)
    upper, lower = points[list(UPPER_INNER)], points[list(LOWER_INNER)]
    inside = _polygon(torch.cat([upper, lower.flip(0)]), size)
    skin = image[:, points[1, 1].long().clamp(0, size - 1), points[1, 0].long().clamp(0, size - 1)]
    light = skin.mean().clamp(0.15, 0.9)
    dark = light * torch.stack([0.12 + 0.3 * look[0], 0.06 + 0.16 * look[1], 0.06 + 0.16 * look[1]])
    drawn = dark[:, None, None].expand_as(image)
    if look[2] < 0.75:
        edge = upper + (0.15 + 0.4 * look[3]) * (lower - upper)
        teeth = _polygon(torch.cat([upper, edge.flip(0)]), size)
        bone = (light * (1.0 + 0.35 * look[4])) * torch.tensor([1.0, 0.95, 0.87])
        drawn = drawn + teeth * (bone[:, None, None] - drawn)
    grey = drawn.mean(0, keepdim=True)
    colourless = (image[0] - image[2]).abs().mean() < 0.01
    image += inside * ((grey if colourless else drawn).clamp(0, 1) - image)
    hole.copy_(inside)


def _polygon(points: Tensor, size: int) -> Tensor:
    """(1, S, S): a filled polygon with soft edges."""
    canvas = Image.new("L", (size, size))
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in points], fill=255)
    soft = canvas.filter(ImageFilter.BoxBlur(1))
    return torch.from_numpy(np.asarray(soft, np.float32) / 255)[None]
