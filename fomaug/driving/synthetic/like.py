"""Choose views that cover the poses of a dataset's pictures."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from fomaug.errors import ArgumentError

_USUAL: Final = 0.9  # Share of the pictures whose poses are covered; the others may be errors of the estimate.
_WIDER: Final = (10.0, 5.0)  # Degrees beyond the poses of the pictures, in yaw and pitch.
_LEAST: Final = (20.0, 10.0)
_MOST: Final = (60.0, 25.0)


def views_like(poses: Tensor) -> str:
    """Return the specification of views that cover the poses of a dataset's pictures, with a margin, on both sides.

    Args:
        poses: (N, 3) yaw, pitch and roll in degrees, as `fomaug.faces.head_pose` returns them.

    Returns:
        The specification of a pool, a value of `driving` for `MotionAugment` and studies.

    Raises:
        ArgumentError: there is no pose.

    >>> views_like(torch.tensor([[0.0, 4.0, 0.0], [-25.0, 2.0, 3.0], [28.0, -3.0, 1.0]]))
    'views yaw=-40:40:20 pitch=-10,0,10'
    """
    known = poses[poses.isfinite().all(1)]
    if not len(known):
        raise ArgumentError("no picture has a face whose pose can be estimated; give the angles of the views instead")
    # Each dataset has an offset in pitch, because cameras look down or up at faces; only the range of pitch counts.
    away = torch.stack([known[:, 0], known[:, 1] - known[:, 1].median()], 1).abs()
    usual = torch.quantile(away.double(), _USUAL, dim=0).tolist()
    yaw, pitch = (
        min(most, max(least, 10 * math.ceil((angle + wider) / 10 - 0.5)))
        for angle, wider, least, most in zip(usual, _WIDER, _LEAST, _MOST, strict=True)
    )
    return f"views yaw={-yaw:g}:{yaw:g}:{yaw / 2:g} pitch={-pitch:g},0,{pitch:g}"
