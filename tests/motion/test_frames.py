from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from fomaug.device import send
from fomaug.driving import closest_frame
from fomaug.errors import ArgumentError, PoolError
from fomaug.geometry import hull_area
from fomaug.motion import DrawSettings, draw
from fomaug.motion.fit import Columns, PoolFrames, pool_frames
from fomaug.types import Keypoints


@pytest.fixture(scope="module")
def frames(tiny_pool):
    return PoolFrames(tiny_pool, torch.device("cpu"))


@pytest.fixture
def params(tiny_pool):
    return draw(tiny_pool, DrawSettings(p=1.0, selection="uniform"), range(10))


@pytest.fixture
def source():
    return Keypoints(torch.rand(10, 4, 2, generator=torch.Generator().manual_seed(3)) - 0.5)


def gather(frames, params, source):
    columns = Columns(*send(frames.rows(params), torch.device("cpu")))
    driving, reference, numbers, _ = frames.gather(params, columns, source)
    return driving, reference, numbers.tolist()


def test_gathers_what_the_tracks_hold(frames, tiny_pool, params, source):
    driving, reference, numbers = gather(frames, params, source)
    for row, param in enumerate(params):
        track = tiny_pool[param.clip].keypoints
        assert torch.equal(driving.value[row], track.value[param.frame])
        assert torch.equal(driving.jacobian[row], track.jacobian[param.frame])
        assert torch.equal(reference.value[row], track.value[numbers[row]])


def test_measures_are_those_of_the_gathered_frames(frames, params, source):
    columns = Columns(*send(frames.rows(params), torch.device("cpu")))
    found = frames.gather(params, columns, source)
    scale = (hull_area(source.value) / hull_area(found.reference.value)).sqrt()
    torch.testing.assert_close(found.measures.scale, scale)
    torch.testing.assert_close(found.measures.inverse @ found.reference.jacobian, torch.eye(2).expand(10, 4, 2, 2))
    ahead = copy.copy(frames)  # as on a GPU, where the sizes of all frames are computed once
    ahead._sizes = hull_area(frames._table[..., :2]).sqrt()
    assert torch.equal(ahead.gather(params, columns, source).measures.scale, found.measures.scale)


def test_closest_reference_is_that_of_the_driving_package(frames, tiny_pool, params, source):
    _, _, numbers = gather(frames, params, source)
    alone = [int(closest_frame(tiny_pool[param.clip], source[row])) for row, param in enumerate(params)]
    assert numbers == alone


def test_a_moving_copy_starts_from_another_pose(frames, tiny_pool, params):
    # The hardest case: every source is posed exactly as its driving frame.
    alike = Keypoints(torch.stack([tiny_pool[param.clip].keypoints.value[param.frame] for param in params]))
    assert gather(frames, params, alike)[2] == [param.frame for param in params]
    moving = [replace(param, reference="moving") for param in params]
    for param, number in zip(moving, gather(frames, moving, alike)[2], strict=True):
        poses = tiny_pool[param.clip].poses
        motion = (poses - poses[param.frame]).flatten(1).norm(dim=1)
        assert motion[number] >= 0.25 * motion.max() > 0
        assert motion[number] == motion[motion >= 0.25 * motion.max()].min()


def test_settled_references_are_kept(frames, params, source):
    settled = [param.settle(number, param.strength) for number, param in enumerate(params)]
    assert gather(frames, settled, source)[2] == list(range(10))
    mixed = [*settled[:5], *params[5:]]
    assert gather(frames, mixed, source)[2][:5] == list(range(5))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"clip": "nodd"}, PoolError, "clip 'nodd'.*did you mean 'nod'"),
        ({"clip_hash": "f" * 64}, PoolError, "differs from the clip"),
        ({"frame": 12}, ArgumentError, "has frames 0 to 11, but the motion parameters name frame 12"),
        ({"reference": -3}, ArgumentError, "reference -3"),
    ],
)
def test_parameters_of_other_clips_are_refused(frames, params, source, change, error, message):
    with pytest.raises(error, match=message):
        gather(frames, [replace(params[0], **change)], source[0])


def test_frames_are_shared_by_pools_of_the_same_content(tiny_pool):
    cpu = torch.device("cpu")
    assert pool_frames(tiny_pool, cpu) is pool_frames(tiny_pool.to("cpu"), cpu)
