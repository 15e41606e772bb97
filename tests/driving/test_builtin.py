from __future__ import annotations

from types import SimpleNamespace

import pytest

from fomaug import DrivingPool
from fomaug.errors import ArgumentError, PoolError
from fomaug.faces.canonical import KEYPOINT_POINTS

FACE_MODEL = SimpleNamespace(name="my-faces", hash="my-hash", keypoint_names=tuple(KEYPOINT_POINTS))


def test_the_built_in_pool_is_for_the_embedded_model_only(tiny_model) -> None:
    with pytest.raises(PoolError, match="belongs to lite-256, and the keypoints of 'tiny' are others") as caught:
        DrivingPool.builtin(tiny_model)
    assert "fomaug pool build CLIPS -o POOL --model tiny" in str(caught.value)
    assert "parametric" not in str(caught.value)
    with pytest.raises(PoolError, match=r"or make one with DrivingPool\.parametric\(model\)"):
        DrivingPool.builtin(FACE_MODEL)


def test_motion_without_clips_needs_known_points(tiny_model) -> None:
    for make in (DrivingPool.parametric, DrivingPool.gestures):
        with pytest.raises(PoolError, match="those of 'tiny' have no names"):
            make(tiny_model)


def test_gestures_are_a_dozen_and_more_named_motions() -> None:
    pool = DrivingPool.gestures(FACE_MODEL)
    assert {"nod", "shake", "talk", "smile", "surprise", "blink", "look around"} <= set(pool.names)
    assert len(pool) >= 12
    assert pool.hash == DrivingPool.gestures(FACE_MODEL).hash
    assert {track.driver for track in pool} == {"mean face"}


def test_parametric_takes_ranges_and_seed() -> None:
    def make(**ranges: object) -> DrivingPool:
        return DrivingPool.parametric(FACE_MODEL, count=12, expressions=("neutral", "smile"), **ranges)

    assert make().labels == ("neutral", "smile")
    assert make().hash == make(seed=0).hash != make(seed=1).hash
    assert make(yaw_range=(-5, 5))[0].motion_range < make()[0].motion_range
    with pytest.raises(ArgumentError):
        make(yaw_range=(40, -40))


def test_the_shipped_pool_fits_the_shipped_model() -> None:
    from fomaug import load_model
    from fomaug.driving import builtin as _builtin

    try:
        model = load_model("lite-256", device="cpu")
    except FileNotFoundError:
        pytest.skip("the embedded model is not trained yet")
    pool = DrivingPool.builtin(model)
    pool.check_model(model)
    path = _builtin.shipped_pool(model)
    if path is not None:
        assert path.stat().st_size < 1_000_000
        assert len(pool) >= 12
        assert None not in pool.labels
