from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fomaug.study.augmentation import MIRRORED_POINTS, apply_classic, draw_classic, mirror_visible, move_points


def draw(shape: tuple[int, ...], seed: int = 0, *, flip: bool = True):  # type: ignore[no-untyped-def]
    return draw_classic(shape, torch.Generator().manual_seed(seed), flip=flip)


def plain(params):  # type: ignore[no-untyped-def]
    """The same draw without anything that changes colours."""
    tone = torch.ones_like(params.tone)
    tone[:, 0] = 0
    return replace(
        params,
        tone=tone,
        blur=params.blur * 0,
        noise=params.noise * 0,
        hole=torch.cat([params.hole[:, :2], params.hole[:, 2:4] * 0, params.hole[:, 4:]], 1),
    )


def test_points_move_with_the_pixels() -> None:
    points = torch.tensor([[-0.4, -0.3], [0.4, -0.3], [0.0, 0.1], [-0.3, 0.4], [0.3, 0.4]]).expand(16, -1, -1)
    axis = torch.linspace(-1, 1, 65)
    params = plain(draw((16, 1, 65, 65)))
    moved = move_points(points, params)
    assert params.flipped.any() and not params.flipped.all()
    names = MIRRORED_POINTS[5]
    for number in range(5):
        x, y = points[0, number]
        blob = torch.exp(-((axis[None] - x) ** 2 + (axis[:, None] - y) ** 2) / 0.005).expand(16, 1, -1, -1)
        found = apply_classic(blob, params)[:, 0] - apply_classic(blob * 0, params)[:, 0]
        mass = found.sum((1, 2))
        centre = torch.stack([(found.sum(1) * axis).sum(1) / mass, (found.sum(2) * axis).sum(1) / mass], 1)
        expected = torch.where(params.flipped[:, None], moved[:, names.index(number)], moved[:, number])
        assert torch.allclose(centre, expected, atol=0.02)


@pytest.mark.parametrize("count", list(MIRRORED_POINTS))
def test_mirroring_twice_changes_nothing(count: int) -> None:
    names = MIRRORED_POINTS[count]
    assert sorted(names) == list(range(count))
    assert [names[names[i]] for i in range(count)] == list(range(count))


def test_the_mirror_of_68_landmarks_fits_real_faces(shared) -> None:  # type: ignore[no-untyped-def]
    import csv

    import numpy as np

    with (shared / "faces" / "landmarks68" / "landmarks.csv").open() as file:
        rows = [[float(row[f"{axis}{i}"]) for i in range(68) for axis in "xy"] for row in csv.DictReader(file)]
    mean = np.array(rows).reshape(-1, 68, 2)
    mean = ((mean - mean.mean(1, keepdims=True)) / mean.std((1, 2), keepdims=True)).mean(0)
    mirrored = (mean * (-1, 1))[list(MIRRORED_POINTS[68])]
    assert np.abs(mirrored - mean).max() < 0.1


def test_visibility_swaps_with_the_names() -> None:
    params = draw((8, 1, 16, 16))
    visible = torch.tensor([[True, False, True, True, True]]).expand(8, -1)
    found = mirror_visible(visible, params)
    assert (found[params.flipped, 0] == False).all() and (found[params.flipped, 1]).all()  # noqa: E712
    assert (found[~params.flipped] == visible[~params.flipped]).all()


def test_draws_are_repeated_by_the_generator_and_leave_the_input_alone() -> None:
    images = torch.rand(6, 3, 20, 20)
    before = images.clone()
    first, second = (apply_classic(images, draw((6, 3, 20, 20), 3)) for _ in range(2))
    assert torch.equal(first, second) and torch.equal(images, before)
    assert not torch.equal(first, apply_classic(images, draw((6, 3, 20, 20), 4)))
    assert first.min() >= 0 and first.max() <= 1


def test_nothing_is_flipped_without_flips() -> None:
    assert not draw((64, 1, 8, 8), flip=False).flipped.any()
    points = torch.rand(64, 7, 2)
    assert move_points(points, draw((64, 1, 8, 8), flip=False)).shape == points.shape
