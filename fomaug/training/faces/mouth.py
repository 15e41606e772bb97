"""What shows when a closed mouth is opened: a dark hole, teeth and a tongue, drawn between the lips.

Teeth are those of another portrait that shows its own, where there is one.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.geometry.grid import identity_grid
from fomaug.training.faces.draw import uniform
from fomaug.training.faces.pairs import sample
from fomaug.training.faces.spline import eval_spline, fit_spline

UPPER_INNER: Final = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER: Final = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
_CLOSED: Final = 0.02  # gap between the lips, in face heights
_TEETH: Final = (0.04, 0.12)  # gaps of mouths that show teeth and little else
_TONGUE: Final = (0.62, 0.36, 0.35)
_ENAMEL: Final = (1.0, 0.95, 0.87)


class Mouths(NamedTuple):
    """B mouths to take teeth from.

    Attributes:
        image: (B, 3, S, S) in [0, 1].
        mesh: (B, 478, 2) normalised.
        open: (B,) bool, whether it shows teeth.
    """

    image: Tensor
    mesh: Tensor
    open: Tensor

    @staticmethod
    def draw(image: Tensor, mesh: Tensor, generator: torch.Generator) -> Mouths:
        """Draw as many mouths as there are portraits, open ones if any is."""
        low, high = _TEETH
        gap = mouth_gap(mesh)
        shows = (gap > low) & (gap < high)
        chosen = torch.multinomial(shows + 1e-9, len(image), replacement=True, generator=generator)
        return Mouths(image[chosen], mesh[chosen, :, :2], shows[chosen])

    def twice(self) -> Mouths:
        """Repeat them for both halves of a batch."""
        return Mouths(*(torch.cat([field, field]) for field in self))


def mouth_gap(mesh: Tensor) -> Tensor:
    """Measure how far the inner lips stand apart: (B,) of meshes (B, 478, 2 or 3), in face heights."""
    gap: Tensor = (mesh[:, 14, :2] - mesh[:, 13, :2]).norm(dim=-1)
    height: Tensor = (mesh[:, 152, :2] - mesh[:, 10, :2]).norm(dim=-1)
    return gap / height


def is_closed(mesh: Tensor) -> Tensor:
    """Tell (B,) which mouths hide their insides."""
    return mouth_gap(mesh) < _CLOSED


def fill_mouth(
    image: Tensor, mesh: Tensor, closed: Tensor, teeth: Mouths, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw the inside of mouths that were closed in the portrait and stand open now.

    Both halves of a batch show the same faces, so they share the look of the inside.

    Args:
        image: (2 B, 3, S, S) in [0, 1].
        mesh: (2 B, 478, 2) normalised.
        closed: (2 B,) bool, whether the portrait's mouth was closed.
        teeth: B mouths that lend their teeth.
        generator: where the randomness comes from.

    Returns:
        The pictures, and (2 B, 1, S, S) where something was drawn.
    """
    look = uniform(generator, len(image) // 2, 8).repeat(2, 1)
    drawn, hole = _inside(image, mesh, teeth.twice(), look)
    hole = hole * (closed & ~is_closed(mesh)).view(-1, 1, 1, 1)
    return torch.lerp(image, drawn, hole), hole


def _inside(image: Tensor, mesh: Tensor, teeth: Mouths, look: Tensor) -> tuple[Tensor, Tensor]:
    """What pictures (M, 3, S, S) show between the lips of meshes (M, 478, 2), by numbers (M, 8), and where."""
    size, tone = image.shape[2], image.new_tensor
    upper, lower = mesh[:, UPPER_INNER], mesh[:, LOWER_INNER]
    light = _light(image, mesh)
    flesh = torch.stack([0.12 + 0.3 * look[:, 0], 0.06 + 0.16 * look[:, 1], 0.06 + 0.16 * look[:, 1]], 1)
    drawn = (light * flesh)[:, :, None, None]
    rise = lower + (0.2 + 0.4 * look[:, 5, None, None]) * (upper - lower)
    tongue = _polygons(rise, lower, size) * (look[:, 6] < 0.5).view(-1, 1, 1, 1)
    drawn = torch.lerp(drawn, (light * (0.5 + 0.7 * look[:, 7:8]) * tone(_TONGUE))[:, :, None, None], tongue)
    edge = upper + (0.15 + 0.4 * look[:, 3, None, None]) * (lower - upper)
    row = _polygons(upper, edge, size) * (look[:, 2] < 0.75).view(-1, 1, 1, 1)
    plain = (light * (1.0 + 0.35 * look[:, 4:5]) * tone(_ENAMEL))[:, :, None, None]
    lit = _light(teeth.image, teeth.mesh)
    lent = _between(teeth, torch.cat([upper, edge[:, 1:-1]], 1), size) * (light / lit)[:, :, None, None]
    drawn = torch.lerp(drawn, torch.where(teeth.open.view(-1, 1, 1, 1), lent, plain), row)
    colourless = (image[:, 0] - image[:, 2]).abs().mean((1, 2)) < 0.01
    drawn = torch.where(colourless.view(-1, 1, 1, 1), drawn.mean(1, keepdim=True), drawn).clamp(0, 1)
    return drawn, _polygons(upper, lower, size)


def _between(mouths: Mouths, lines: Tensor, size: int) -> Tensor:
    """(M, 3, S, S): what mouths show between their lips, brought between lines (M, 20, 2)."""
    lips = torch.cat([mouths.mesh[:, UPPER_INNER], mouths.mesh[:, LOWER_INNER[1:-1]]], 1)
    grid = identity_grid((size // 2, size // 2), device=lines.device).expand(len(lines), -1, -1, -1)
    # The spline's stiffness is meant for whole faces; a mouth is a tenth as wide.
    weights = fit_spline(10 * lines, lips)
    places = eval_spline(weights, 10 * lines, 10 * grid.flatten(1, 2)).view(grid.shape)
    return F.interpolate(sample(mouths.image, places), size=(size, size), mode="bilinear", align_corners=True)


def _light(image: Tensor, mesh: Tensor) -> Tensor:
    """(M, 1): how bright the nose is."""
    skin = F.grid_sample(image, mesh[:, None, 1:2], align_corners=True)[:, :, 0, 0]
    return skin.mean(1, keepdim=True).clamp(0.15, 0.9)


def _polygons(top: Tensor, bottom: Tensor, size: int) -> Tensor:
    """(M, 1, S, S): filled polygons between normalised lines (M, N, 2) that run alike, with soft edges."""
    ends = (torch.cat([top, bottom.flip(1)], 1) + 1) / 2 * (size - 1)
    pixels = torch.arange(size, device=top.device)
    (x0, y0), (x1, y1) = (end[..., None].unbind(2) for end in (ends, ends.roll(-1, 1)))  # (M, 2 N, 1) each
    crosses = (y0 > pixels) != (y1 > pixels)  # (M, 2 N, S): edges that a row of pixels crosses
    at = torch.where(crosses, x0 + (pixels - y0) / (y1 - y0) * (x1 - x0), torch.inf)
    inside = torch.zeros(len(top), size, size, dtype=torch.bool, device=top.device)
    for edge in at.unbind(1):
        inside ^= edge[:, :, None] < pixels
    return F.avg_pool2d(inside[:, None].float(), 3, 1, 1)
