"""Parts that a portrait hides: the background behind the person, and the inside of a closed mouth."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.training.faces.augmentation import uniform
from fomaug.training.faces.warps import eval_spline, fit_spline, grids, sample

_TRUSTED: Final = 0.85  # share of the face's points that a matte must hold
_MARGIN: Final = 9  # pixels around a person that may still show some of it


class Layers(NamedTuple):
    """B portraits taken apart.

    Attributes:
        person: (B, 4, S, S) the picture, and how far each pixel shows the person.
        behind: (B, 3, S, S) the picture without the person, guessed from around.
    """

    person: Tensor
    behind: Tensor


def take_apart(image: Tensor, matte: Tensor, mesh: Tensor) -> Layers:
    """Take portraits apart. A matte that misses the face is not believed: then all of the picture is the person.

    Args:
        image: (B, 3, S, S) in [0, 1].
        matte: (B, 1, S, S) in [0, 1], how far a pixel shows the person; soft edges are made harder.
        mesh: (B, M, 2) points of the faces, normalised.
    """
    held = F.grid_sample(matte, mesh[:, None], align_corners=True).mean((1, 2, 3))
    hard = (2.5 * (matte - 0.5) + 0.5).clamp(0, 1)
    matte = torch.where((held > _TRUSTED)[:, None, None, None], hard, 1.0)
    around = 1 - F.max_pool2d(matte, _MARGIN, 1, _MARGIN // 2)
    return Layers(torch.cat([image, matte], 1), fill(image, around))


def fill(image: Tensor, known: Tensor) -> Tensor:
    """Fill what is unknown of pictures (B, 3, S, S) from what is known (B, 1, S, S) around it, ever more coarsely."""
    if image.shape[2] < 2:
        return image
    share = F.avg_pool2d(known, 2)
    coarse = fill(F.avg_pool2d(image * known, 2) / share.clamp(min=1e-4), (4 * share).clamp(max=1))
    smooth = F.interpolate(coarse, size=image.shape[2:], mode="bilinear", align_corners=False)
    return torch.lerp(smooth, image, known)


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

    def take(self, rows: Tensor) -> Mouths:
        """Take some of them."""
        return Mouths(*(field[rows] for field in self))


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
    look = uniform(generator, len(image) // 2, len(_Look._fields))
    holes = torch.zeros_like(image[:, :1])
    rows = torch.nonzero(closed & ~is_closed(mesh)).flatten()
    if not len(rows):
        return image, holes
    face = rows % len(look)
    drawn = _inside(image[rows], mesh[rows], teeth.take(face), _Look(*look[face, :, None].unbind(1)))
    hole = between_lips(mesh[rows], image.shape[2])
    return image.index_copy(0, rows, torch.lerp(image[rows], drawn, hole)), holes.index_copy(0, rows, hole)


def between_lips(mesh: Tensor, size: int) -> Tensor:
    """(B, 1, S, S) in [0, 1]: what lies between the inner lips of meshes (B, 478, 2)."""
    return _polygons(mesh[:, UPPER_INNER], mesh[:, LOWER_INNER], size)


class _Look(NamedTuple):
    """How the insides of M mouths look: numbers (M, 1) in [0, 1]."""

    red: Tensor
    dark: Tensor
    teeth: Tensor
    row: Tensor
    enamel: Tensor
    rise: Tensor
    tongue: Tensor
    flesh: Tensor


def _inside(image: Tensor, mesh: Tensor, teeth: Mouths, look: _Look) -> Tensor:
    """Draw what pictures (M, 3, S, S) would show between the lips of meshes (M, 478, 2), all over the picture."""
    size, tone = image.shape[2], image.new_tensor
    upper, lower = mesh[:, UPPER_INNER], mesh[:, LOWER_INNER]
    light = _light(image, mesh)
    dark = 0.06 + 0.16 * look.dark
    drawn = _plane(light * torch.cat([0.12 + 0.3 * look.red, dark, dark], 1))
    rise = lower + (0.2 + 0.4 * look.rise[..., None]) * (upper - lower)
    tongue = _polygons(rise, lower, size) * _plane(look.tongue < 0.5)
    drawn = torch.lerp(drawn, _plane(light * (0.5 + 0.7 * look.flesh) * tone(_TONGUE)), tongue)
    edge = upper + (0.15 + 0.4 * look.row[..., None]) * (lower - upper)
    row = _polygons(upper, edge, size) * _plane(look.teeth < 0.75)
    plain = _plane(light * (1.0 + 0.35 * look.enamel) * tone(_ENAMEL))
    lit = _plane(light / _light(teeth.image, teeth.mesh))
    lent = _between(teeth, torch.cat([upper, edge[:, 1:-1]], 1), size) * lit
    drawn = torch.lerp(drawn, torch.where(_plane(teeth.open[:, None]), lent, plain), row)
    colourless = (image[:, 0] - image[:, 2]).abs().mean((1, 2))[:, None] < 0.01
    return torch.where(_plane(colourless), drawn.mean(1, keepdim=True), drawn).clamp(0, 1)


def _plane(numbers: Tensor) -> Tensor:
    """(M, C) to (M, C, 1, 1): the same all over a picture."""
    return numbers[..., None, None]


def _between(mouths: Mouths, lines: Tensor, size: int) -> Tensor:
    """(M, 3, S, S): what mouths show between their lips, brought between lines (M, 20, 2)."""
    lips = torch.cat([mouths.mesh[:, UPPER_INNER], mouths.mesh[:, LOWER_INNER[1:-1]]], 1)
    grid = grids(size // 2, lines)
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
