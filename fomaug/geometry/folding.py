"""Where a flow folds: it shows the same piece of the source twice, once turned over."""

from __future__ import annotations

from torch import Tensor


def cell_determinant(flow: Tensor) -> Tensor:
    """How much of the source a cell of the grid covers, as a share of its own area; negative where it is turned over.

    Args:
        flow: (B, h, w, 2) backward flow.

    Returns:
        (B, h - 1, w - 1); 1 for the identity.

    >>> from fomaug.geometry import identity_grid
    >>> cell_determinant(identity_grid((4, 4))[None] * 0.5).mean().item()
    0.25
    """
    _, h, w, _ = flow.shape
    # The cross product of the diagonals is twice the signed area of any quadrilateral.
    falling = flow[:, 1:, 1:] - flow[:, :-1, :-1]
    rising = flow[:, 1:, :-1] - flow[:, :-1, 1:]
    doubled = falling[..., 0] * rising[..., 1] - falling[..., 1] * rising[..., 0]
    return doubled * ((w - 1) * (h - 1) / 8)
