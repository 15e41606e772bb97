from __future__ import annotations

import pickle
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from fomaug import DrivingPool, Keypoints, MotionTrack
from fomaug.driving.track import contents_hash
from fomaug.errors import ArgumentError, PoolError
from fomaug.faces.canonical import KEYPOINT_POINTS


def track(name: str, count: int = 4, seed: int = 0, **changes: object) -> MotionTrack:
    generator = torch.Generator().manual_seed(seed)
    keypoints = Keypoints(torch.rand(count, 5, 2, generator=generator), torch.rand(count, 5, 2, 2, generator=generator))
    return MotionTrack(name, keypoints, 25.0, **changes)  # type: ignore[arg-type]


def pool(*tracks: MotionTrack, model: str = "tiny") -> DrivingPool:
    return DrivingPool(tracks or (track("nod", label="yes"), track("shake", 6, label="no")), model, f"{model}-hash")


def test_tracks_are_accessible_by_index_name_and_iteration() -> None:
    one = pool()
    assert len(one) == 2
    assert one[1].name == one["shake"].name == "shake"
    assert [item.name for item in one] == list(one.names) == ["nod", "shake"]
    assert one.labels == ("yes", "no")
    assert one.num_frames == 10
    assert "nod" in one
    assert "smile" not in one
    assert repr(one).startswith("DrivingPool(2 tracks, 10 frames, model='tiny', hash=")


def test_an_unknown_track_suggests_the_nearest() -> None:
    with pytest.raises(PoolError, match=r"no track 'shak'; did you mean 'shake'\?; it has nod, shake"):
        pool()["shak"]
    with pytest.raises(PoolError, match="no track 'wave'"):
        pool().select("nod", "wave")


def test_tracks_are_selected_by_name_and_by_label() -> None:
    assert pool().select("shake").names == ("shake",)
    assert pool().select("no", "nod").names == ("nod", "shake")


def test_tracks_are_weighted_by_name_and_by_label() -> None:
    both = pool(track("nod", label="yes"), track("bow", label="yes"), track("shake", label="no"))
    weights = {item.name: item.weight for item in both.weighted({"yes": 3, "bow": 0.5})}
    assert weights == {"nod": 3.0, "bow": 0.5, "shake": 1.0}
    assert both.weighted({"nod": 2}).hash != both.hash == both.weighted({"nod": 1}).hash
    with pytest.raises(PoolError, match=r"no track 'shak'; did you mean 'shake'"):
        both.weighted({"shak": 1})
    with pytest.raises(PoolError, match=r"no track 'yess'; did you mean 'yes'"):
        both.weighted({"yess": 1})
    with pytest.raises(PoolError, match="weight must be 0 or more"):
        both.weighted({"nod": -1})


def test_pools_of_one_model_can_be_joined() -> None:
    both = pool(track("a")) + pool(track("b"))
    assert both.names == ("a", "b")
    with pytest.raises(PoolError, match="unique, got a more than once"):
        pool(track("a")) + pool(track("a"))
    with pytest.raises(PoolError, match=r"'tiny' \(tiny-hash\) and 'other' \(other-hash\) cannot be joined"):
        pool(track("a")) + pool(track("b"), model="other")
    with pytest.raises(TypeError, match="unsupported operand"):
        pool(track("a")) + track("b")


@pytest.mark.parametrize(
    ("tracks", "message"),
    [
        ((), "at least one track, got none"),
        ((track("a"), track("a")), "unique, got a more than once"),
        (
            (track("a"), MotionTrack("b", Keypoints(torch.rand(4, 5, 2)), 25.0)),
            "'a' and 'b' have different numbers of keypoints",
        ),
        ((track("a", weight=0.0),), "weights of all tracks are 0"),
    ],
)
def test_invalid_sets_of_tracks_are_errors(tracks: tuple[MotionTrack, ...], message: str) -> None:
    with pytest.raises(PoolError, match=message):
        DrivingPool(tracks, "tiny", "hash")


def test_the_hash_is_golden() -> None:
    """Every draw depends on the hash; a change of it changes all users' datasets and needs a new format version."""
    keypoints = Keypoints(torch.arange(12.0).reshape(2, 3, 2) / 16, torch.eye(2).expand(2, 3, 2, 2))
    words = {"name": "é", "fps": 29.97, "label": "nod", "clip_hash": "ff", "driver": "me", "weight": 2.0}
    # Not a track: these points lie on one line.
    assert (
        contents_hash([SimpleNamespace(keypoints=keypoints, angles=None, **words)], "h")
        == "c64f8c4598440cd1337b92090288e697d20386746e61709389a5635221ef31c0"
    )


CHANGES = {
    "name": {"name": "other"},
    "label": {"label": "maybe"},
    "fps": {"fps": 24.0},
    "clip": {"clip_hash": "00"},
    "driver": {"driver": "someone"},
    "weight": {"weight": 2.0},
    "points": {"keypoints": track("nod", seed=1).keypoints},
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_hash_depends_on_everything_that_a_draw_depends_on(change: str) -> None:
    assert pool(track("nod")).hash != pool(replace(track("nod"), **CHANGES[change])).hash


def test_the_hash_does_not_depend_on_the_type_of_a_number() -> None:
    assert pool(track("a", weight=1)).hash == pool(track("a", weight=1.0)).hash


def test_the_hash_depends_on_the_model_and_the_order() -> None:
    assert pool(track("a")).hash != pool(track("a"), model="other").hash
    assert pool(track("a"), track("b")).hash != pool(track("b"), track("a")).hash


def test_the_hash_does_not_depend_on_facts_and_crop() -> None:
    assert pool(track("a")).hash == pool(track("a", facts={"note": "dim"}, crop=(0, 0, 9, 9))).hash


def test_rounding_changes_points_little_and_only_once() -> None:
    one = pool()
    rounded = one.rounded()
    assert rounded.hash != one.hash
    assert rounded.rounded().hash == rounded.hash
    torch.testing.assert_close(rounded[0].keypoints.value, one[0].keypoints.value, rtol=0, atol=5e-4)


def test_moving_a_pool_keeps_its_hash() -> None:
    assert pool().to("cpu").hash == pool().hash


def test_pools_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(pool())).hash == pool().hash


def test_a_pool_of_another_model_is_refused_with_reason_and_remedy() -> None:
    pool().check_model(SimpleNamespace(name="tiny", hash="tiny-hash"))
    with pytest.raises(PoolError) as caught:
        pool().check_model(SimpleNamespace(name="lite-256", hash="0123456789abcdef"))
    for part in (
        "'tiny' (tiny-hash)",
        "'lite-256' (0123456789ab)",
        "each model has its own keypoints",
        "--model MODEL`, where MODEL is the name or the file of 'lite-256'",
    ):
        assert part in str(caught.value)


FACE_MODEL = SimpleNamespace(name="my-faces", hash="my-hash", keypoint_names=tuple(KEYPOINT_POINTS))


def test_the_built_in_pool_is_for_the_embedded_model_only(tiny_model) -> None:
    with pytest.raises(PoolError, match="is for lite-256, and 'tiny' has other keypoints") as caught:
        DrivingPool.builtin(tiny_model)
    hint = "`fomaug pool build CLIPS -o POOL --model MODEL`, where MODEL is the name or the file of 'tiny'"
    assert hint in str(caught.value), "a model that is loaded from a file need not be found by its name"
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


def test_parametric_accepts_ranges_and_seed() -> None:
    def make(**ranges: object) -> DrivingPool:
        return DrivingPool.parametric(FACE_MODEL, count=12, expressions=("neutral", "smile"), **ranges)

    assert make().labels == ("neutral", "smile")
    assert make().hash == make(seed=0).hash != make(seed=1).hash
    assert make(yaw_range=(-5, 5))[0].motion_range < make()[0].motion_range
    with pytest.raises(ArgumentError):
        make(yaw_range=(40, -40))


def test_the_shipped_pool_fits_the_shipped_model() -> None:
    from fomaug import load_model
    from fomaug.driving.pool_file import shipped_pool

    try:
        model = load_model("lite-256", device="cpu")
    except FileNotFoundError:
        pytest.skip("the embedded model is not trained yet")
    pool = DrivingPool.builtin(model)
    pool.check_model(model)
    path = shipped_pool(model)
    if path is not None:
        assert path.stat().st_size < 1_000_000
        assert len(pool) >= 12
        assert None not in pool.labels
