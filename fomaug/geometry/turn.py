"""How far a head may turn: what its source hides cannot be shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from fomaug.types import Keypoints

_POINTS: Final = ("forehead", "chin", "nose bridge", "nose tip", "ear right", "ear left")
_GROWTH: Final = 1.5  # more is painted badly; measured on portraits, see docs/driving.md
_THIN: Final = 0.1  # of the face's height: thinner sides are as good as hidden, and would bound any motion to nothing


def showable_share(source: Keypoints, moved: Keypoints, names: Sequence[str]) -> Tensor:
    """Say which share of a motion shows no side of the face that the source hides.

    A frontal face that turns shows at most 1.3 times as much of a side, nose to ear. A turned face that turns back
    would have to show several times as much of its far side as there is to see.

    Args:
        source: B keypoints before the motion; or 1, for all of them.
        moved: B keypoints after it.
        names: of the K keypoints; without those of nose and ears nothing is known, and the share is 1.

    Returns:
        (B,) in (0, 1]: 1 where no side grows more than 1.5 times.
    """
    if not set(_POINTS) <= set(names):
        return moved.value.new_ones(len(moved))
    rows = [list(names).index(name) for name in _POINTS]
    before, after = (_sides(points.value[:, rows]) for points in (source, moved))
    growth = (after / before.clamp(min=_THIN)).amax(1)
    return (_GROWTH - 1) / (growth - 1).clamp(min=_GROWTH - 1)


def _sides(points: Tensor) -> Tensor:
    """(B, 6, 2) to (B, 2): from the nose to each ear, across the face, in units of its height."""
    top, chin, bridge, tip, right, left = points.unbind(1)
    height = (top - chin).norm(dim=-1, keepdim=True).clamp(min=1e-6)
    up = (top - chin) / height
    across = torch.stack([-up[:, 1], up[:, 0]], -1)  # to the person's left
    middle = (bridge + tip) / 2
    ends = torch.stack([middle - right, left - middle], 1)  # (B, 2, 2)
    width: Tensor = (ends * across[:, None]).sum(-1) / height
    return width
