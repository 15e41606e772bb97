from __future__ import annotations

import numpy as np
import pytest
import torch

from fomaug.driving.synthetic.tracks import face_keypoints
from fomaug.motion.space import build_space, motion_space


@pytest.fixture(scope="module")
def space(heads):
    return build_space(heads.values, [1.0] * len(heads.values))


def test_rows_count_through_tracks_and_frames(space, heads):
    assert space.track.tolist() == [track for track, value in enumerate(heads.values) for _ in value]
    assert space.frame.tolist() == [frame for value in heads.values for frame in range(len(value))]


def test_estimated_angles_follow_the_true_ones(space, heads):
    assert np.corrcoef(space.yaw, heads.yaw)[0, 1] > 0.95
    assert np.corrcoef(space.pitch, heads.pitch)[0, 1] > 0.9


def test_angles_of_the_canonical_face_are_in_degrees_within_a_quarter():
    yaw, pitch = torch.linspace(-30, 30, 41), torch.linspace(-15, 15, 41).roll(13)
    keypoints = face_keypoints(yaw=yaw, pitch=pitch)
    space = build_space([keypoints.value.double().numpy()], [1.0])
    zero = int(space.size.argmin())
    for found, true in ((space.yaw, yaw), (space.pitch, pitch)):
        true = (true - true[zero]).numpy()
        wide = np.abs(true) > 5
        assert 0.75 < np.median(found[wide] / true[wide]) < 1.25


def test_every_track_has_a_neutral_frame(space, heads):
    for track in range(len(heads.values)):
        assert space.size[space.track == track].min() == 0


def test_position_and_size_of_the_face_do_not_count(heads):
    moved = [value * 0.5 + 0.2 for value in heads.values]
    first, second = (build_space(values, [1.0] * len(values)) for values in (heads.values, moved))
    np.testing.assert_allclose(second.motion, first.motion, atol=1e-9)


def test_a_turned_head_is_farther_than_an_open_mouth_of_equal_displacement(heads):
    rest = heads.values[0][:1].repeat(3, 0)
    turned, spoke = rest.copy(), rest.copy()
    turned[1:, 2, 0] += 0.02
    spoke[1:, 6, 1] += 0.02
    values = [*heads.values, turned, spoke]
    space = build_space(values, [1.0] * len(values))
    by_turning, by_speaking = (space.size[space.track == track].max() for track in (12, 13))
    assert by_turning > 1.2 * by_speaking


def test_mirroring_twice_is_the_motion_itself(space):
    flat = space.mirrored.reshape(len(space.frame), -1, 2)
    # Of the face in conftest, points 0 and 1, 3 and 4, 8 and 9 are each other's mirror images.
    again = flat[:, [1, 0, 2, 4, 3, 5, 6, 7, 9, 8]] * (-1, 1)
    np.testing.assert_allclose(again.reshape(len(flat), -1), space.motion, atol=1e-12)


def test_space_is_shared_by_pools_of_the_same_content(tiny_pool):
    assert motion_space(tiny_pool) is motion_space(tiny_pool.to("cpu"))
