from __future__ import annotations

import numpy as np
import pytest
import torch

from fomaug import Keypoints
from fomaug.driving import detect as _detect


def test_large_frames_are_brought_down_before_they_are_batched() -> None:
    assert _detect._shrunk(np.zeros((2000, 1000, 3), np.uint8), 64).shape == (64, 32, 3)
    assert _detect._shrunk(np.zeros((70, 90, 3), np.uint8), 64).shape == (50, 64, 3)
    small = np.zeros((30, 40, 3), np.uint8)
    assert _detect._shrunk(small, 64) is small


@pytest.mark.parametrize("lengths", [[], [3], [16] * 11 + [5], [1, 2, 3, 4]])
def test_keypoints_are_joined_in_order(lengths: list[int]) -> None:
    whole = torch.arange(sum(lengths) * 4.0).view(-1, 2, 2)
    parts = [Keypoints(part) for part in torch.split(whole, lengths)] if lengths else []
    joined = _detect._joined(iter(parts))
    if joined is None:
        assert not lengths
    else:
        torch.testing.assert_close(joined.value, whole, atol=0, rtol=0)
