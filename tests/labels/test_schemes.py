from __future__ import annotations

import numpy as np
import pytest

from fomaug.errors import LabelError
from fomaug.faces.canonical import mean_mesh, mirror_order
from fomaug.labels import find_scheme, five_points, mirror_points, scheme_names

# Points of the mesh that lie where the points of a smaller scheme lie, as far as the mesh has them.
MESH_OF_68 = {
    **dict(zip(range(36, 42), (33, 160, 158, 133, 153, 144), strict=True)),
    **dict(zip(range(42, 48), (362, 385, 387, 263, 373, 380), strict=True)),
    27: 168,
    30: 1,
    48: 61,
    51: 0,
    54: 291,
    57: 17,
    60: 78,
    62: 13,
    64: 308,
    66: 14,
    8: 152,
    49: 40,
    50: 37,
    52: 267,
    53: 270,
    21: 107,
    22: 336,
    17: 70,
    26: 300,
}


def mesh() -> np.ndarray:
    return mean_mesh()[:, :2].numpy().astype(float)


@pytest.mark.parametrize("name", scheme_names())
def test_a_mirror_is_its_own_inverse_and_every_point_has_one_partner(name: str) -> None:
    scheme = find_scheme(name)
    assert len(scheme.mirror) == scheme.num_points == int(name)
    np.testing.assert_array_equal(scheme.mirror[scheme.mirror], np.arange(scheme.num_points))
    paired = [point for pair in scheme.pairs for point in pair]
    assert len(set(paired)) == len(paired)


@pytest.mark.parametrize("name", scheme_names())
def test_the_five_points_are_mirrored_like_five_points(name: str) -> None:
    """Eyes and mouth corners swap sides, and the nose stays: whatever the scheme, mirroring and deriving commute."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 99, (int(name), 2))
    mirrored = mirror_points(points, name, width=100)
    np.testing.assert_allclose(five_points(mirrored), mirror_points(five_points(points), 5, width=100))


def test_the_mean_mesh_equals_its_mirror_image() -> None:
    points = mesh() * 100 + 50
    width = 2 * 50 + 1
    np.testing.assert_allclose(mirror_points(points, 478, width=width), points, atol=1e-3)
    np.testing.assert_array_equal(find_scheme(478).mirror, mirror_order().numpy())


def test_points_of_68_that_the_mesh_has_are_mirrored_as_the_mesh_is() -> None:
    mirror_68, mirror_mesh = find_scheme(68).mirror, mirror_order().numpy()
    for point, of_mesh in MESH_OF_68.items():
        assert mirror_mesh[of_mesh] == MESH_OF_68[mirror_68[point]], point


def test_five_points_of_the_mean_mesh_are_where_a_face_has_them() -> None:
    left_eye, right_eye, nose, left_corner, right_corner = five_points(mesh())
    assert left_eye[0] < nose[0] < right_eye[0] and left_corner[0] < nose[0] < right_corner[0]
    assert left_eye[1] < nose[1] < left_corner[1]
    np.testing.assert_allclose([nose[0], (left_eye + right_eye)[0]], 0, atol=1e-3)


@pytest.mark.parametrize(("name", "left", "right"), [(68, range(36, 42), range(42, 48)), (98, [60, 64], [68, 72])])
def test_eyes_swap_with_eyes(name: int, left: list[int], right: list[int]) -> None:
    assert set(find_scheme(name).mirror[list(left)]) == set(right)


def test_missing_points_remain_missing_and_have_no_effect() -> None:
    points = np.full((68, 2), 20.0)
    points[36], points[54] = np.nan, -1
    mirrored = mirror_points(points, "68", width=100)
    assert np.isnan(mirrored[45]).all()
    assert mirrored[48].tolist() == [-1, -1]
    assert mirrored[0].tolist() == [79, 20]
    assert np.isnan(five_points(points)[[0, 4]]).all()
    assert np.isfinite(five_points(points)[[1, 2, 3]]).all()


def test_mirroring_twice_is_no_change() -> None:
    points = np.random.default_rng(0).uniform(0, 99, (3, 98, 2))
    np.testing.assert_allclose(mirror_points(mirror_points(points, 98, width=64), 98, width=64), points)


def test_other_numbers_of_points_are_refused_by_name() -> None:
    with pytest.raises(LabelError, match=r"no landmark scheme has 7 points; the schemes are 5, 21, 29, 68, 98"):
        five_points(np.zeros((7, 2)))
    with pytest.raises(LabelError, match=r"points of scheme 68 must be \(\.\.\., 68, 2\), got \(5, 2\)"):
        mirror_points(np.zeros((5, 2)), 68, width=10)
