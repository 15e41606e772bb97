"""The benchmarks of tight crops and turned heads crop, pad and rotate as documented."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fomaug.faces import rotation

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def crops(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("tight_crops")


@pytest.fixture
def heads(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("render_heads")


def test_a_square_is_centred_on_a_face(crops: Any) -> None:
    mesh = np.array([[[10, 20, 0], [50, 100, 0], [30, 60, 5]]], np.float32)
    left, top, side = crops.face_square(mesh, 1.25)
    assert (left, top, side) == (-20, 10, 100)


def test_a_cut_at_the_size_of_the_result_only_shifts(crops: Any) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (1, 300, 300, 3), np.uint8)
    np.testing.assert_array_equal(crops.cut(frame, (20.0, 7.0, 256.0))[0], frame[0, 7:263, 20:276])


def test_a_cut_beyond_the_picture_repeats_its_edge(crops: Any) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), np.uint8)
    found = crops.cut(frame, (-16.0, 0.0, 256.0))[0]
    np.testing.assert_array_equal(found[:, :16], np.repeat(frame[0, :, :1], 16, 1))


@pytest.mark.parametrize("border", ["edge", "reflect", "blur"])
def test_padding_keeps_the_picture(crops: Any, border: str) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    padded = crops.BORDERS[border](frame, 8)
    assert padded.shape == (48, 48, 3)
    np.testing.assert_array_equal(padded[8:-8, 8:-8], frame)


def test_a_narrow_picture_becomes_a_square_with_repeated_edges(crops: Any) -> None:
    picture = np.repeat(np.random.default_rng(0).integers(0, 256, (256, 1, 3), np.uint8), 100, 1)
    np.testing.assert_array_equal(crops.square(picture), np.repeat(picture[:, :1], 256, 1))


def test_an_edge_keeps_the_inside(crops: Any) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    edged = picture.copy()
    crops.draw_edge(edged, crops.RED)
    np.testing.assert_array_equal(edged[3:-3, 3:-3], picture[3:-3, 3:-3])
    assert (edged[[0, -1]] == crops.RED).all() and (edged[:, [0, -1]] == crops.RED).all()


def euler(angles: Any) -> Any:
    """Make rotations in the renderer's convention: x right, y up, z to the viewer, pitch, yaw, roll, opposite pitch."""
    (cx, sx), (cy, sy), (cz, sz) = ((np.cos(angle), np.sin(angle)) for angle in angles)
    about_x = np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return about_y @ about_x @ np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])


@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (60.0, 0.0, 0.0), (-40.0, 15.0, -10.0), (70.0, -30.0, 20.0)])
def test_a_rendered_head_is_turned_for_its_camera_as_a_mesh_is(heads: Any, angles: tuple[float, ...]) -> None:
    render = SimpleNamespace(euler=euler)
    camera = euler([0.1, -0.2, 0.05])
    world = heads.absolute(render, camera, np.array(angles))
    np.testing.assert_allclose(heads.relative(render, camera, world), angles, atol=1e-6)
    flip = np.diag([1.0, -1.0, -1.0])  # to y down, z away from the viewer
    expected = rotation(*(torch.tensor([np.deg2rad(angle)]) for angle in angles))[0].numpy()
    np.testing.assert_allclose(flip @ camera @ euler(world) @ flip, expected, atol=1e-6)
