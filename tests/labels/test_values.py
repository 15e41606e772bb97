from __future__ import annotations

import numpy as np
import torch

from fomaug.geometry import identity_grid
from fomaug.labels import FaceLabels, move

ZOOM = identity_grid((64, 64))[None] * 0.5
SIZE = (101, 201)


def test_points_boxes_and_masks_move_by_one_flow() -> None:
    mask = np.zeros(SIZE, np.uint8)
    mask[45:56, 90:111] = 3
    given = FaceLabels(
        points=np.array([[100.0, 50.0], [120.0, 60.0]]),
        boxes=np.array([[90.0, 45.0, 110.0, 55.0]]),
        mask=mask,
        fields={"name": "kept"},
    )
    moved = move(given, ZOOM, SIZE)
    np.testing.assert_allclose(moved.points, [[100, 50], [140, 70]], atol=1e-3)
    np.testing.assert_allclose(moved.boxes, [[80, 40, 120, 60]], atol=1e-3)
    rows, columns = np.nonzero(moved.mask)
    np.testing.assert_allclose([rows.min(), rows.max(), columns.min(), columns.max()], [40, 60, 80, 120], atol=1)
    assert moved.mask is not None
    assert moved.mask.dtype == np.uint8
    assert moved.fields == {"name": "kept"}


def test_the_identity_changes_nothing() -> None:
    given = FaceLabels(points=np.array([[3.0, 4.0]]), boxes=np.array([[1.0, 2.0, 30.0, 40.0]]))
    moved = move(given, identity_grid((16, 16))[None], SIZE)
    np.testing.assert_allclose(moved.points, given.points, atol=1e-3)
    np.testing.assert_allclose(moved.boxes, given.boxes, atol=1e-3)


def test_what_was_invisible_stays_so_and_what_is_painted_becomes_so() -> None:
    given = FaceLabels(points=np.array([[90.0, 50.0], [110.0, 50.0]]), visible=np.array([False, True]))
    moved = move(given, ZOOM, SIZE)
    assert moved.visible is not None
    assert moved.visible.tolist() == [False, True]
    hidden = move(given, ZOOM, SIZE, occlusion=torch.zeros(1, 1, 64, 64))
    assert hidden.visible is not None
    assert hidden.visible.tolist() == [False, False]


def test_void_fills_what_comes_from_outside() -> None:
    shrink = identity_grid((64, 64))[None] * 2
    given = FaceLabels(mask=np.ones((32, 32), np.uint8), void=255)
    moved = move(given, shrink, (32, 32)).mask
    assert moved is not None
    assert moved[0, 0] == 255
    assert moved[16, 16] == 1
