"""Portraits in two layers: a person who moves, and a background that stays.

A warp that bends the whole picture drags the background along, and teaches that walls are made of rubber.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

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
