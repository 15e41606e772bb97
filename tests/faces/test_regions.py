from __future__ import annotations

import pytest
import torch

from fomaug.faces import Region, region_around, regions_around


def test_a_region_is_a_raised_square_around_the_face() -> None:
    assert region_around((40, 40, 60, 60), (200, 200)) == Region(32, 30, 68, 66)


def test_a_region_ends_with_the_picture() -> None:
    region = region_around((0, 0, 40, 40), (100, 60))
    assert region == Region(0, 0, 56, 53)


@pytest.mark.parametrize("box", [(500, 500, 540, 540), (5, 5, 12, 12), (50, 50, 40, 40)])
def test_boxes_that_hold_nothing_give_no_region(box: tuple[float, ...]) -> None:
    assert region_around(box, (100, 100)) is None


def test_boxes_without_a_region_are_left_out() -> None:
    boxes = [(5, 5, 12, 12), (40, 40, 60, 60), (0, 0, 0, 0)]
    assert regions_around(boxes, (200, 200)) == (Region(32, 30, 68, 66),)


def test_a_region_cuts_what_numpy_would() -> None:
    pixels = torch.arange(48).view(1, 6, 8)
    assert torch.equal(Region(2, 1, 6, 4).cut(pixels), pixels[:, 1:4, 2:6])


@pytest.mark.parametrize(
    ("region", "fits"),
    [((0, 0, 8, 6), True), ((0, 0, 9, 6), False), ((-1, 0, 8, 6), False), ((3, 3, 3, 5), False)],
)
def test_a_region_knows_whether_a_picture_holds_it(region: tuple[int, ...], fits: bool) -> None:
    assert Region(*region).lies_in((6, 8)) == fits
