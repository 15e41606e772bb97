"""Two by two matrices in closed form: exact, differentiable, exportable, and the same on every device."""

from __future__ import annotations

import torch
from torch import Tensor


def inverse_2x2(matrix: Tensor, *, least: float = 0.0) -> Tensor:
    """Invert matrices (..., 2, 2); a singular one gives infinities, as division does.

    Args:
        matrix: (..., 2, 2).
        least: a determinant nearer to 0 is taken for this, which gives something finite.
    """
    a, b = matrix[..., 0, 0], matrix[..., 0, 1]
    c, d = matrix[..., 1, 0], matrix[..., 1, 1]
    adjugate = torch.stack((torch.stack((d, -b), -1), torch.stack((-c, a), -1)), -2)
    area = a * d - b * c
    if least:
        area = torch.where(area.abs() < least, least, area)
    return adjugate / area[..., None, None]
