from __future__ import annotations

import numpy as np
import pytest

from fomaug.errors import LabelError
from fomaug.labels.rle import decode_mask, encode_mask, pack, unpack

NOISE = np.random.default_rng(0).random((6, 9)) > 0.5
DISC = np.hypot(*np.mgrid[-30:40, -40:60]) < 25

# What the COCO tools (pycocotools 2.0) give for these masks.
GOLDEN = [
    (np.zeros((5, 7)), "S1"),
    (np.ones((3, 2)), "06"),
    (NOISE, "021O00000131MN0010O0041MO10O0O032"),
    (
        DISC,
        "hS1=f16K4L4M2M4M2N2N2O0O2N2O0O2O0O2O000O2O000000000000000000000001N10001N101N101N2N101N2N2N3L3N3L4L5Jm[2",
    ),
]


@pytest.mark.parametrize(("mask", "text"), GOLDEN)
def test_packed_masks_are_those_of_the_coco_tools(mask: np.ndarray, text: str) -> None:
    assert encode_mask(mask.astype(np.uint8), packed=True) == {"size": list(mask.shape), "counts": text}
    np.testing.assert_array_equal(decode_mask({"size": mask.shape, "counts": text}), mask)


def plain_runs(mask: np.ndarray) -> list[int]:
    runs, value = [0], 0
    for pixel in mask.T.flatten().tolist():
        if bool(pixel) != bool(value):
            runs.append(0)
            value = not value
        runs[-1] += 1
    return runs


@pytest.mark.parametrize("seed", range(8))
def test_runs_are_those_of_a_loop_over_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = (rng.random((7, 5)) > rng.random()).astype(np.uint8)
    segment = encode_mask(mask, packed=False)
    assert segment["counts"] == plain_runs(mask)
    np.testing.assert_array_equal(decode_mask(segment), mask)


def test_any_numbers_survive_packing() -> None:
    runs = np.random.default_rng(1).integers(0, 2**20, 200).tolist()
    assert unpack(pack(runs)) == runs
    assert unpack("") == []


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([1, 2], "3 pixels do not fill a mask of 2 x 3"),
        ([9, -3], "do not fill"),
        ("~", "cannot have the character '~'"),
        ("P", "end in the middle"),
    ],
)
def test_damaged_runs_are_refused(counts: object, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        decode_mask({"size": [2, 3], "counts": counts})
