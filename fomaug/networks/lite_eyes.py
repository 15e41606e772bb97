"""A head's flow with the eyes set in it."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.geometry import resize_flow
from fomaug.geometry.eye import Eyes, eyes_box, set_eyes
from fomaug.geometry.sampling import can_be_rearranged
from fomaug.networks.lite_blocks import full_precision


class EyeFlow(NamedTuple):
    """A head's flow with the eyes set in it.

    Attributes:
        flow: (B, S, S, 2) backward.
        signs: (B, 3, h, w) what a painter must know of eyes, on a part of the grid of S / 2; see `set_eyes`. They are 0
            in the rest of it.
        rows: of that grid which the signs cover.
        columns: the same across.
    """

    flow: Tensor
    signs: Tensor
    rows: slice
    columns: slice


def flow_with_eyes(flow: Tensor, source: Eyes, driving: Eyes, size: int) -> EyeFlow:
    """Set the eyes first, in the driving pose; then follow the head's flow.

    Args:
        flow: (B, h, w, 2) of a head whose lids and irises keep still.
        source: eyes of the source.
        driving: eyes of the driving frame.
        size: side S of the result.
    """
    with full_precision(flow):
        axis = torch.linspace(-1, 1, size, device=flow.device, dtype=flow.dtype)
        if not can_be_rearranged(flow):
            places, signs = set_eyes(source, driving, axis, axis)
            return EyeFlow(_read(flow, places), F.avg_pool2d(signs, 2), slice(None), slice(None))
        # The same, without the work where nothing comes of it.
        rows, columns = (_even(part, size) for part in eyes_box(driving, size))
        places, signs = set_eyes(source, driving, axis[columns], axis[rows])
        fine = resize_flow(flow, (size, size)).clone()
        fine[:, rows, columns] = _read(flow, places)
        return EyeFlow(fine, F.avg_pool2d(signs, 2), _half(rows), _half(columns))


def _even(part: slice, size: int) -> slice:
    """Widen to whole pairs, at least one."""
    start = min(part.start - part.start % 2, size - 2)
    return slice(start, max(part.stop + part.stop % 2, start + 2))


def _half(part: slice) -> slice:
    return slice(part.start // 2, part.stop // 2)


def _read(flow: Tensor, places: Tensor) -> Tensor:
    read = F.grid_sample(flow.permute(0, 3, 1, 2), places.to(flow.dtype), padding_mode="border", align_corners=True)
    return read.permute(0, 2, 3, 1)
