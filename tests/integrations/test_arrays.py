from __future__ import annotations

import numpy as np
import pytest

from fomaug.integrations.arrays import like, to_tensor


@pytest.mark.parametrize("shape", [(2, 6, 8), (2, 6, 8, 1), (2, 6, 8, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int32, np.bool_])
def test_there_and_back_changes_nothing(rng, shape, dtype):
    given = rng.integers(0, 2, shape).astype(dtype)
    back = like(to_tensor(given), given)
    assert back.dtype == given.dtype and back.flags.c_contiguous
    assert np.array_equal(back, given)


def test_channels_come_first():
    assert to_tensor(np.zeros((2, 6, 8, 3))).shape == (2, 3, 6, 8)
    assert to_tensor(np.zeros((2, 6, 8))).shape == (2, 1, 6, 8)


def test_read_only_and_turned_arrays_are_taken(rng):
    given = rng.integers(0, 255, (1, 6, 8, 3)).astype(np.uint8)
    given.flags.writeable = False
    assert np.array_equal(like(to_tensor(given), given), given)
    turned = given[:, ::-1, ::-1]
    assert np.array_equal(like(to_tensor(turned), turned), turned)


def test_foreign_byte_order_is_taken():
    given = np.arange(12, dtype=">f4").reshape(1, 3, 4)
    assert np.array_equal(like(to_tensor(given), given), given)
