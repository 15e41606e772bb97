"""Parts that a portrait hides: the background behind the person, and the inside of a closed mouth.

A warp of the whole image would move the background with the person, and the model would learn that backgrounds move.
So portraits are separated into two layers. A mouth that opens shows a dark cavity, teeth and a tongue, which are drawn
between the lips; the teeth are those of another portrait if one shows them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.training.faces.augmentation import uniform
from fomaug.training.faces.pairs import eval_spline, fit_spline, grids, sample

_TRUSTED: Final = 0.85  # least share of the face's points inside a matte
_MARGIN: Final = 9  # pixels around a person that may still show a part of it


class Layers(NamedTuple):
    """The two layers of B portraits.

    Attributes:
        person: (B, 4, S, S) the image, and the matte in [0, 1]: the share of the person in each pixel.
        behind: (B, 3, S, S) the background, filled in behind the person.
    """

    person: Tensor
    behind: Tensor


def take_apart(image: Tensor, matte: Tensor, mesh: Tensor) -> Layers:
    """Separate portraits into layers; if a matte does not contain the face, the whole image is the person.

    Args:
        image: (B, 3, S, S) in [0, 1].
        matte: (B, 1, S, S) in [0, 1], the share of the person in each pixel; soft edges are sharpened.
        mesh: (B, M, 2) points of the faces, normalised.
    """
    held = F.grid_sample(matte, mesh[:, None], align_corners=True).mean((1, 2, 3))
    hard = (2.5 * (matte - 0.5) + 0.5).clamp(0, 1)
    matte = torch.where((held > _TRUSTED)[:, None, None, None], hard, 1.0)
    around = 1 - F.max_pool2d(matte, _MARGIN, 1, _MARGIN // 2)
    return Layers(torch.cat([image, matte], 1), fill(image, around))


def fill(image: Tensor, known: Tensor) -> Tensor:
    """Fill unknown pixels of images (B, 3, S, S) from known ones (B, 1, S, S) around them, from coarse to fine."""
    if image.shape[2] < 2:
        return image
    share = F.avg_pool2d(known, 2)
    coarse = fill(F.avg_pool2d(image * known, 2) / share.clamp(min=1e-4), (4 * share).clamp(max=1))
    smooth = F.interpolate(coarse, size=image.shape[2:], mode="bilinear", align_corners=False)
    return torch.lerp(smooth, image, known)


UPPER_INNER: Final = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER: Final = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
_CLOSED: Final = 0.02  # largest gap between closed lips, in face heights
_TEETH: Final = (0.04, 0.12)  # interval of the gaps of mouths that show mainly teeth
_TONGUE: Final = (0.62, 0.36, 0.35)
_ENAMEL: Final = (1.0, 0.95, 0.87)


class Mouths(NamedTuple):
    """B portraits whose teeth are copied.

    Attributes:
        image: (B, 3, S, S) in [0, 1].
        mesh: (B, 478, 2) normalised.
        open: (B,) bool, whether the mouth shows teeth.
    """

    image: Tensor
    mesh: Tensor
    open: Tensor

    @staticmethod
    def draw(image: Tensor, mesh: Tensor, generator: torch.Generator) -> Mouths:
        """Draw one mouth for each portrait, an open one if there is any."""
        low, high = _TEETH
        gap = mouth_gap(mesh)
        shows = (gap > low) & (gap < high)
        chosen = torch.multinomial(shows + 1e-9, len(image), replacement=True, generator=generator)
        return Mouths(image[chosen], mesh[chosen, :, :2], shows[chosen])

    def take(self, rows: Tensor) -> Mouths:
        """Select some of the mouths."""
        return Mouths(*(field[rows] for field in self))


def mouth_gap(mesh: Tensor) -> Tensor:
    """Measure the gaps (B,) between the inner lips of meshes (B, 478, 2 or 3), in face heights."""
    gap: Tensor = (mesh[:, 14, :2] - mesh[:, 13, :2]).norm(dim=-1)
    height: Tensor = (mesh[:, 152, :2] - mesh[:, 10, :2]).norm(dim=-1)
    return gap / height


def is_closed(mesh: Tensor) -> Tensor:
    """Return (B,) bool, whether the mouths are closed."""
    return mouth_gap(mesh) < _CLOSED


def fill_mouth(
    image: Tensor, mesh: Tensor, closed: Tensor, teeth: Mouths, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw the inside of mouths that are closed in the portrait and open in the warped image.

    Both halves of a batch show the same faces, so the insides of their mouths look the same.

    Args:
        image: (2 B, 3, S, S) in [0, 1].
        mesh: (2 B, 478, 2) normalised.
        closed: (2 B,) bool, whether the mouth is closed in the portrait.
        teeth: B mouths whose teeth are copied.
        generator: random generator.

    Returns:
        The images, and masks (2 B, 1, S, S) of the drawn pixels.
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
    """Draw masks (B, 1, S, S) in [0, 1] of the area between the inner lips of meshes (B, 478, 2)."""
    return _polygons(mesh[:, UPPER_INNER], mesh[:, LOWER_INNER], size)


class _Look(NamedTuple):
    """Random parameters of the insides of M mouths: numbers (M, 1) in [0, 1]."""

    red: Tensor
    dark: Tensor
    teeth: Tensor
    row: Tensor
    enamel: Tensor
    rise: Tensor
    tongue: Tensor
    flesh: Tensor


def _inside(image: Tensor, mesh: Tensor, teeth: Mouths, look: _Look) -> Tensor:
    """Draw the insides of mouths for images (M, 3, S, S) and meshes (M, 478, 2), not yet limited to the lips."""
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
    """Reshape (M, C) to (M, C, 1, 1), for products with images."""
    return numbers[..., None, None]


def _between(mouths: Mouths, lines: Tensor, size: int) -> Tensor:
    """Warp the insides of mouths between lines (M, 20, 2): images (M, 3, S, S)."""
    lips = torch.cat([mouths.mesh[:, UPPER_INNER], mouths.mesh[:, LOWER_INNER[1:-1]]], 1)
    grid = grids(size // 2, lines)
    # The regularisation of the spline is for whole faces, and a mouth is a tenth as wide.
    weights = fit_spline(10 * lines, lips)
    flow = eval_spline(weights, 10 * lines, 10 * grid.flatten(1, 2)).view(grid.shape)
    return F.interpolate(sample(mouths.image, flow), size=(size, size), mode="bilinear", align_corners=True)


def _light(image: Tensor, mesh: Tensor) -> Tensor:
    """Measure the brightness (M, 1) of the nose."""
    skin = F.grid_sample(image, mesh[:, None, 1:2], align_corners=True)[:, :, 0, 0]
    return skin.mean(1, keepdim=True).clamp(0.15, 0.9)


def _polygons(top: Tensor, bottom: Tensor, size: int) -> Tensor:
    """Draw filled polygons (M, 1, S, S) with soft edges between normalised lines (M, N, 2) of the same direction."""
    ends = (torch.cat([top, bottom.flip(1)], 1) + 1) / 2 * (size - 1)
    pixels = torch.arange(size, device=top.device)
    (x0, y0), (x1, y1) = (end[..., None].unbind(2) for end in (ends, ends.roll(-1, 1)))  # (M, 2 N, 1) each
    crosses = (y0 > pixels) != (y1 > pixels)  # (M, 2 N, S): edges that a row of pixels crosses
    at = torch.where(crosses, x0 + (pixels - y0) / (y1 - y0) * (x1 - x0), torch.inf)
    inside = torch.zeros(len(top), size, size, dtype=torch.bool, device=top.device)
    for edge in at.unbind(1):
        inside ^= edge[:, :, None] < pixels
    return F.avg_pool2d(inside[:, None].float(), 3, 1, 1)
