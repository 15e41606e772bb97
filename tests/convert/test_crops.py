"""Similarity transforms against Umeyama's formula, an algebraic identity, and a picture with known points."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fomaug.convert import similarity, template
from fomaug.convert.crops import carry, carry_labels, invert, make_aligner, warp_pixels
from fomaug.errors import ArgumentError, LabelError, ShapeError
from fomaug.labels import FaceLabels, five_points
from fomaug.media import Picture, read_mark, read_picture


def umeyama(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Equations 40 to 43 of Umeyama (1991), by singular values."""
    mean, mean_target = points.mean(0), target.mean(0)
    covariance = (target - mean_target).T @ (points - mean) / len(points)
    u, values, vt = np.linalg.svd(covariance)
    sign = np.diag([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ sign @ vt
    scale = np.trace(np.diag(values) @ sign) / ((points - mean) ** 2).sum(1).mean()
    return np.concatenate([scale * rotation, (mean_target - scale * rotation @ mean)[:, None]], 1)


def turned(angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]])


def test_a_known_similarity_is_found(rng: np.random.Generator) -> None:
    for _ in range(20):
        points = rng.normal(0, 30, (5, 2))
        matrix = turned(rng.uniform(-3, 3), rng.uniform(0.1, 5), tuple(rng.normal(0, 50, 2)))
        np.testing.assert_allclose(similarity(points, carry(points, matrix)), matrix, atol=1e-9)


def test_the_similarity_equals_umeyamas(rng: np.random.Generator) -> None:
    for _ in range(20):
        points, target = rng.normal(0, 20, (2, 7, 2))
        matrix = umeyama(points, target)
        np.testing.assert_allclose(similarity(points, target), matrix, atol=1e-9)


def test_the_residual_is_orthogonal_to_every_small_change(rng: np.random.Generator) -> None:
    """The normal equations hold: no rotation, scaling or translation reduces the distances."""
    points, target = rng.normal(0, 20, (2, 5, 2))
    residual = carry(points, similarity(points, target)) - target
    changes = [np.ones((5, 1)) * [1, 0], np.ones((5, 1)) * [0, 1], points, points @ [[0, 1], [-1, 0]]]
    for change in changes:
        assert (residual * change).sum() == pytest.approx(0, abs=1e-8)


def test_points_return_under_the_inverse(rng: np.random.Generator) -> None:
    points = rng.normal(0, 20, (9, 2))
    matrix = turned(0.4, 0.3, (5, -2))
    np.testing.assert_allclose(carry(carry(points, matrix), invert(matrix)), points)


def test_a_margin_shrinks_the_face_about_the_middle_of_the_crop() -> None:
    plain, wide = template(112), template(112, margin=0.25)
    np.testing.assert_allclose(wide - 56, (plain - 56) / 1.5)
    np.testing.assert_allclose(template(224), 2 * plain)


def test_missing_and_coinciding_points_are_refused() -> None:
    with pytest.raises(LabelError, match="one of the five points for the alignment is missing"):
        similarity(np.full((5, 2), np.nan), template())
    with pytest.raises(LabelError, match="the five points for the alignment coincide"):
        similarity(np.full((5, 2), 3.0), template())
    with pytest.raises(ShapeError, match=r"must be \(P, 2\) with P of 2 or more, got \(1, 2\) and \(5, 2\)"):
        similarity(np.zeros((1, 2)), template())


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.3, 0.19])
def test_pixels_move_with_points(scale: float) -> None:
    """On smooth waves along x and y, the part of the error that is proportional to the slope is a shift in pixels."""
    y, x = np.mgrid[:600, :640]
    matrix = turned(0.3, scale, (-200 * scale + 30, -250 * scale + 90))
    rows, columns = np.mgrid[:64, :64]
    source = carry(np.stack([columns, rows], -1).reshape(-1, 2).astype(float), invert(matrix))
    kept = (source > 12).all(1) & (source < [640 - 12, 600 - 12]).all(1)
    assert kept.sum() > 400

    def wave(values: np.ndarray) -> np.ndarray:
        return 127.5 + 120 * np.sin(values / 160 * 2 * np.pi)

    for values, axis in ((x, 0), (y, 1)):
        crop = warp_pixels(wave(values).round().astype(np.uint8)[..., None], matrix, 64)[..., 0].reshape(-1)
        error = crop[kept] - wave(source[kept, axis])
        slope = 120 * np.cos(source[kept, axis] / 160 * 2 * np.pi) * 2 * np.pi / 160
        columns_of = np.stack([slope, np.ones_like(slope)], 1)
        shift, _ = np.linalg.lstsq(columns_of, error, rcond=None)[0]
        assert abs(shift) < 0.1
        assert np.abs(error).mean() < 1.5


def test_labels_move_with_the_pixels() -> None:
    labels = FaceLabels(
        points=np.array([[10.0, 20], [np.nan, np.nan], [900, 900]]),
        boxes=np.array([[10.0, 10, 30, 20], [500, 500, 600, 600]]),
        fields={"age": 3},
    )
    matrix = np.array([[2.0, 0, 5], [0, 2.0, 7]])
    found = carry_labels(labels, matrix, 112)
    assert found.points is not None and found.boxes is not None
    np.testing.assert_allclose(found.points[0], [25, 47])
    assert np.isnan(found.points[1]).all()
    assert found.points_seen.tolist() == [True, False, False]
    assert found.boxes[0].tolist() == [25, 27, 65, 47]
    assert found.box_visible is not None and found.box_visible.tolist() == [True, False]
    assert found.fields == {"age": 3}


@pytest.mark.parametrize("count", [5, 68, 98])
def test_aligned_crops_have_their_five_points_at_the_template(
    labelled: Callable[..., Any], to: Callable[..., Any], count: int
) -> None:
    data = labelled(count)
    report = to(data, "coco-keypoints", align=64, margin=0.1)
    content = json.loads((report.dest / "annotations" / "keypoints_train.json").read_text())
    assert len(content["images"]) == len(data.each())
    for image, annotation, (key, row) in zip(content["images"], content["annotations"], data.each(), strict=True):
        assert (image["width"], image["height"]) == (64, 64)
        picture = report.dest / "images" / image["file_name"]
        assert read_picture(picture).size == (64, 64)
        assert read_mark(picture).synthetic == (row is not None)
        points, _ = data.points(key, count, row)
        wanted = carry(points, similarity(five_points(points), template(64, margin=0.1)))
        found = np.reshape(annotation["keypoints"], (-1, 3))
        seen = found[:, 2] > 0
        np.testing.assert_allclose(found[seen, :2], wanted[seen], atol=0.05)


def test_a_detector_takes_precedence_and_is_checked(
    labelled: Callable[..., Any], to: Callable[..., Any], tmp_path: Path
) -> None:
    data = labelled(7)
    seen: list[tuple[int, ...]] = []

    def detector(picture: np.ndarray) -> np.ndarray:
        seen.append(picture.shape)
        return template(40)[None]

    report = to(data, "folder", align=40, detector=detector, include_sources="none")
    assert len(seen) == report.copies == len(data.rows)
    # The five points are where the template of 40 pixels has them, so the crop is the corner of the picture.
    name = Path(data.rows[0]["file"])
    crop = read_picture(report.dest / "train" / name.with_suffix(".jpg")).rgb.astype(int)
    whole = read_picture(data.out / name).rgb.astype(int)
    assert np.abs(crop - whole[:40, :40]).mean() < 4
    report = to(data, "folder", "other", align=40, detector=lambda picture: [])
    assert report.copies == 0
    assert "has no face that the detector could find" in report.failed[0].reason
    with pytest.raises(ShapeError, match=r"five points \(N, 5, 2\)"):
        to(data, "folder", "third", align=40, detector=lambda picture: np.zeros((1, 4, 2)))
    with pytest.raises(ShapeError, match=r"five points \(N, 5, 2\) of each face, got str"):
        to(data, "folder", "fourth", align=40, detector=lambda picture: "left eye")


def test_the_models_own_keypoints_align_a_face(face_model: Any, shared: Path) -> None:
    aligner = make_aligner(112, 0.0, "model", model=face_model, detector=None)
    path = sorted((shared / "portraits").rglob("*.jpg"))[0]
    picture = read_picture(path)
    crop, _ = aligner(picture, None)
    assert crop.size == (112, 112)
    again = make_aligner(112, 0.0, "model", model=face_model, detector=None).locate(
        Picture(np.pad(crop.pixels, ((60, 60), (60, 60), (0, 0)), mode="edge")), None
    )
    assert np.abs(again - 60 - template()).mean() < 5


def test_a_model_without_known_face_points_is_an_error(tiny_model: Any) -> None:
    with pytest.raises(ArgumentError, match="are not known points of the face"):
        make_aligner(112, 0.0, "model", model=tiny_model, detector=None)
    with pytest.raises(ArgumentError, match="align must be 16 pixels or more and margin from 0 to 2, got 8 and 0"):
        make_aligner(8, 0.0, "annotations", model=None, detector=None)
