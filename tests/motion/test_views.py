"""Views: drawn evenly, fitted to the source, replaced where it hides them, and replayed alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from fomaug import DrivingPool, Keypoints, load_model
from fomaug.driving.synthetic import expression_offset
from fomaug.errors import ArgumentError, PoolError
from fomaug.faces import KEYPOINT_POINTS, fit_mean_face, head_pose, mean_face_angles, posed_face
from fomaug.motion import DrawSettings, MotionParams, View, draw, fit
from fomaug.motion.targets import GROWTH
from fomaug.motion.view import NOD_LIMITS, NODS, aim

NAMES = tuple(KEYPOINT_POINTS)
MODEL = SimpleNamespace(name="mean", hash="m", keypoint_names=NAMES)
ALWAYS = DrawSettings(p=1.0)
EXAMPLES = Path(__file__).parents[2] / "examples" / "faces"


@pytest.fixture(scope="module")
def pool() -> DrivingPool:
    return DrivingPool.views(MODEL)  # type: ignore[arg-type]


def faces(*angles: tuple[float, float, float], size: float = 1.0) -> Keypoints:
    """Make the keypoints of average heads."""
    posed = posed_face(mean_face_angles(torch.tensor(angles)))
    assert posed.jacobian is not None
    return Keypoints(posed.value * size, posed.jacobian * size)


def asked(params: list[MotionParams]) -> list[tuple[float, float, float]]:
    return [param.view.asked for param in params if param.view is not None]


def test_every_view_occurs_once_before_any_is_repeated(pool: DrivingPool) -> None:
    for key in range(10):
        views = asked(draw(pool, ALWAYS, [key], copies=42))
        assert len(set(views[:21])) == 21
        assert views[21:] == views[:21]


def test_sides_alternate_and_every_yaw_occurs_in_each_round(pool: DrivingPool) -> None:
    for key in range(20):
        yaws = [view[0] for view in asked(draw(pool, ALWAYS, [key], copies=21))]
        for start in (0, 7, 14):
            assert len(set(yaws[start : start + 7])) == 7
        balance = np.cumsum(np.sign(yaws))
        assert np.abs(balance).max() <= 1


def test_pitches_are_spread_over_each_round(pool: DrivingPool) -> None:
    for key in range(20):
        pitches = [view[1] for view in asked(draw(pool, ALWAYS, [key], copies=7))]
        assert sorted(pitches.count(pitch) for pitch in (-25.0, 0.0, 25.0)) == [2, 2, 3]


def test_sources_have_their_views_in_different_orders(pool: DrivingPool) -> None:
    orders = {tuple(asked(draw(pool, ALWAYS, [key], copies=7))) for key in range(50)}
    assert len(orders) == 50
    first = [asked(draw(pool, ALWAYS, [key]))[0] for key in range(2000)]
    assert min(first.count(view) for view in set(first)) > 0.6 * 2000 / 21
    assert len(set(first)) == 21


@pytest.mark.parametrize("selection", ["diverse", "uniform", "sequence"])
def test_a_copy_does_not_depend_on_their_number_or_other_keys(pool: DrivingPool, selection: str) -> None:
    settings = replace(ALWAYS, selection=selection, p=0.7)  # type: ignore[arg-type]
    many = draw(pool, settings, ["a", "b"], copies=30)
    assert draw(pool, settings, ["b"], copies=5) == many[30:35]


def test_expressions_are_drawn_by_weight(pool: DrivingPool) -> None:
    weighted = pool.weighted({"smile": 3, "blink": 0})
    names = [param.view.expression for param in draw(weighted, ALWAYS, range(500), copies=4) if param.view]
    assert "blink" not in names
    assert abs(names.count("smile") / 2000 - 3 / 7) < 0.04


def test_ranges_are_those_of_the_angles(pool: DrivingPool) -> None:
    settings = replace(ALWAYS, yaw_range=(-20, 20), pitch_range=(0, 30))
    views = asked(draw(pool, settings, range(20), copies=6))
    assert {yaw for yaw, *_ in views} == {-20.0, 0.0, 20.0}
    assert {pitch for _, pitch, _ in views} == {0.0, 25.0}


def test_views_and_clips_can_be_mixed(pool: DrivingPool) -> None:
    mixed = pool + DrivingPool.gestures(MODEL)  # type: ignore[arg-type]
    params = draw(mixed, replace(ALWAYS, selection="uniform"), range(40))
    source = faces(*[(0.0, 0.0, 0.0)] * 40)
    target, settled = fit(params, source, mixed, NAMES)
    kinds = {param.view is None for param in params}
    assert kinds == {True, False}
    for row, param in enumerate(params):
        alone = fit([param], source[row], mixed, NAMES)
        assert alone.params == [settled[row]]
        assert torch.equal(alone.target.value[0], target.value[row])


def one(view: View, source: Keypoints, strength: float = 0.0) -> tuple[Keypoints, View]:
    target, (settled,) = fit([MotionParams(key=0, view=view, strength=strength)], source, None, NAMES)  # type: ignore[arg-type]
    assert settled.view is not None
    return target, settled.view


@pytest.mark.parametrize("pose", [(0.0, 0.0, 0.0), (25.0, -5.0, 8.0), (40.0, 10.0, -20.0)])
@pytest.mark.parametrize("wanted", [(20.0, 0.0, 0.0), (25.0, 15.0, 0.0), (45.0, -20.0, 10.0)])
def test_the_keypoints_move_to_the_recorded_pose_of_the_mean_face(pose, wanted) -> None:
    target, view = one(View(wanted), faces(pose, size=0.8))
    assert view.pose == pytest.approx(pose, abs=0.2)
    assert view.start is not None
    assert view.end is not None
    assert fit_mean_face(faces(pose).value)[0].tolist() == pytest.approx(view.start, abs=0.1)
    assert fit_mean_face(target.value)[0].tolist() == pytest.approx(view.end, abs=0.3)
    assert view.taken is not None
    if view.replaced == "no":
        assert view.taken == wanted
    else:
        assert not 20 < pose[0] <= wanted[0], "a face that is turned to this side shows what lies behind"


def moves(view: tuple[float, float, float], pose: tuple[float, float, float]) -> list[float]:
    """Return the move of the mean face."""
    start, end = aim(torch.tensor([view]), torch.tensor([pose]))
    return (end - start)[0].tolist()


@pytest.mark.parametrize(
    ("pitch", "start", "expected"),
    [
        (0.0, 0.0, 0.0),
        (7.0, 7.0, 0.0),
        (10.0, 0.0, 10 * NODS[1]),
        (-10.0, 4.0, -14 * NODS[0]),
        (50.0, 50.0, 0.0),
    ],
)
def test_nods_of_the_mean_face_are_a_multiple(pitch: float, start: float, expected: float) -> None:
    assert moves((0.0, pitch, 5.0), (0.0, start, 0.0)) == pytest.approx([0.0, expected, 5.0], abs=0.02)


def test_nods_of_the_mean_face_are_limited_unless_the_view_is_beyond_the_limit() -> None:
    ends = aim(torch.tensor([[0.0, pitch, 0.0] for pitch in (-45.0, 40.0, 45.0)]), torch.zeros(3, 3)).end[:, 1]
    assert ends[:2].tolist() == list(NOD_LIMITS)
    assert ends[2] > NOD_LIMITS[1]


def test_heads_that_turn_nod_less_and_turned_heads_turn_farther() -> None:
    for nod in (-20.0, 20.0):
        alone, turning = (abs(moves((yaw, nod, 0.0), (0.0, 0.0, 0.0))[1]) for yaw in (0.0, 20.0))
        assert 0.5 * alone < turning < alone
    level, up, down = (moves((40.0, pitch, 0.0), (20.0, 0.0, 0.0))[0] for pitch in (0.0, -20.0, 20.0))
    plain = (mean_face_angles(torch.tensor([[40.0, 0, 0]])) - mean_face_angles(torch.tensor([[20.0, 0, 0]])))[0, 0]
    assert down < plain < level == up


def test_moves_to_mirrored_views_of_mirrored_heads_are_mirrored() -> None:
    views, poses = 60 * torch.rand(50, 3) - 30, 60 * torch.rand(50, 3) - 30
    sides = torch.tensor([-1.0, 1.0, -1.0])
    for there, here in zip(aim(views * sides, poses * sides), aim(views, poses), strict=True):
        torch.testing.assert_close(there, here * sides)


@pytest.mark.parametrize("asked", [(0.0, -20.0), (0.0, 20.0), (15.0, 0.0), (-15.0, 0.0), (15.0, -15.0), (-15.0, 15.0)])
def test_pictures_reach_views(asked: tuple[float, float]) -> None:
    model = load_model(device="cpu")
    pictures = [iio.imread(path) for path in sorted(EXAMPLES.glob("person_[a-d]/front.jpg"))]
    images = torch.stack([torch.from_numpy(picture).permute(2, 0, 1) / 255 for picture in pictures])
    source = model.encode(images)
    params = [MotionParams(key=0, view=View((*asked, 0.0)))] * len(images)
    target, settled = fit(params, source.keypoints, None, model.keypoint_names)
    taken = torch.tensor([param.view.taken for param in settled if param.view is not None])
    reached = head_pose(model.detect(model.animate(source, target).image), model)
    assert (reached - taken).abs().mean(0).max() < 5


@pytest.mark.parametrize("pose", [(0.0, 0.0, 0.0), (25.0, -5.0, 8.0), (-40.0, 45.0, -20.0)])
def test_the_view_of_the_source_itself_moves_nothing(pose: tuple[float, float, float]) -> None:
    own = faces(pose)
    source = Keypoints(own.value + 0.01 * torch.randn(1, len(NAMES), 2), own.jacobian)
    target, _ = one(View(pose, taken=pose, pose=pose), source)
    torch.testing.assert_close(target.value, source.value, atol=1e-6, rtol=0)


def test_the_shape_of_the_face_is_kept() -> None:
    """The target differs from the mean face in that view by what the source differs from the mean face in its pose."""
    own = faces((10.0, 0.0, 0.0))
    shape = 0.01 * torch.randn(1, len(NAMES), 2)
    source = Keypoints(own.value + shape, own.jacobian)
    target, view = one(View((25.0, 5.0, 0.0)), source)
    assert view.start is not None
    assert view.end is not None
    moved = posed_face(torch.tensor([view.end])).value - posed_face(torch.tensor([view.start])).value
    scale = ((target.value - source.value) / moved).median()
    torch.testing.assert_close(target.value, source.value + scale * moved, atol=1e-5, rtol=0)
    assert 0.9 < float(scale) < 1.1


def test_strength_scales_the_expression_only() -> None:
    source = faces((0.0, 0.0, 0.0))
    rest, whole, half = (one(View((20.0, 0.0, 0.0), "smile"), source, share)[0].value for share in (0.0, 1.0, 0.5))
    torch.testing.assert_close(half, (rest + whole) / 2, atol=1e-5, rtol=0)
    end = aim(torch.tensor([[20.0, 0.0, 0.0]]), torch.zeros(1, 3)).end
    expected = posed_face(end, expression_offset("smile")).value
    torch.testing.assert_close(whole, expected, atol=5e-3, rtol=0)


def test_a_hidden_side_is_replaced_by_the_mirrored_view() -> None:
    _, view = one(View((-40.0, 10.0, 5.0)), faces((40.0, 0.0, 0.0)))
    assert (view.replaced, view.taken) == ("mirrored", (40.0, 10.0, -5.0))


def test_a_view_whose_mirror_image_is_hidden_too_is_replaced_by_the_nearest() -> None:
    _, view = one(View((0.0, 10.0, 0.0)), faces((40.0, 0.0, 0.0)))
    assert view.replaced == "nearest"
    assert view.taken is not None
    assert 5 < view.taken[0] < 35
    assert view.taken[1:] == (10.0, 0.0)


def test_views_towards_the_visible_side_are_not_replaced() -> None:
    for yaw in (-20.0, 0.0, 20.0):
        assert one(View((yaw, 0.0, 0.0)), faces((0.0, 0.0, 0.0)))[1].replaced == "no"
    assert one(View((60.0, 0.0, 0.0)), faces((40.0, 0.0, 0.0)))[1].replaced == "no"
    assert GROWTH == 1.5


def test_settled_rows_replay_alone_and_need_no_estimate(pool: DrivingPool, monkeypatch: pytest.MonkeyPatch) -> None:
    params = draw(pool, ALWAYS, ["a"], copies=12)
    source = faces(*[(35.0, -5.0, 4.0)] * 12, size=0.9)
    first = fit(params, source, pool, NAMES)
    rows = json.loads(json.dumps([param.to_dict() for param in first.params]))
    monkeypatch.setattr("fomaug.motion.targets.pose_of_points", lambda value: pytest.fail("estimated again"))
    again = fit([MotionParams.from_dict(row) for row in rows], source, pool, NAMES)
    assert again.params == first.params
    assert torch.equal(again.target.value, first.target.value)
    assert again.target.jacobian is not None
    assert first.target.jacobian is not None
    assert torch.equal(again.target.jacobian, first.target.jacobian)
    assert {param.view.replaced for param in first.params if param.view} == {"no", "mirrored", "nearest"}


def test_settled_and_open_rows_are_fitted_together(pool: DrivingPool) -> None:
    params = draw(pool, ALWAYS, ["a"], copies=4)
    source = faces(*[(-15.0, 5.0, 0.0)] * 4)
    settled = fit(params, source, pool, NAMES)
    mixed = fit([settled.params[0], params[1], settled.params[2], params[3]], source, pool, NAMES)
    assert mixed.params == settled.params
    assert torch.equal(mixed.target.value, settled.target.value)


def test_other_models_cannot_show_views() -> None:
    with pytest.raises(PoolError, match="views need a model whose keypoints are known points"):
        fit([MotionParams(key=0, view=View((0.0, 0.0, 0.0)))], Keypoints(torch.rand(1, 4, 2)), None, ())  # type: ignore[arg-type]
    with pytest.raises(PoolError, match="have no names"):
        DrivingPool.views(SimpleNamespace(name="tiny", hash="", keypoint_names=()))  # type: ignore[arg-type]


VIEW = {"asked": [20.0, 0.0, 0.0], "expression": "smile", "taken": None, "pose": None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"asked": [1, 2]}, "'asked' of a view must be yaw, pitch and roll"),
        ({"asked": [1, 2, float("nan")]}, "'asked' of a view must be"),
        ({"asked": [1, 2, True]}, "'asked' of a view must be"),
        ({"asked": "abc"}, "'asked' of a view must be"),
        ({"taken": [1, 2, 3]}, "either both of 'taken' and 'pose' or neither"),
        ({"start": [1, 2, 3]}, "'start' or 'end' needs both"),
        ({"start": [1, 2, 3], "end": [1, 2, 3]}, "needs both of them, and 'taken' and 'pose'"),
        ({"expression": 3}, "'expression' of a view must be a name"),
        ({"tkaen": [1, 2, 3]}, "did you mean 'taken'"),
    ],
)
def test_a_wrong_view_in_a_row_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        MotionParams.from_dict({"key": "a", "view": {**VIEW, **change}})


def test_an_unknown_expression_is_refused_with_a_hint() -> None:
    with pytest.raises(ArgumentError, match="did you mean 'smile'"):
        one(View((0.0, 0.0, 0.0), "smlie"), faces((0.0, 0.0, 0.0)))


def test_a_pool_of_views_survives_its_file(pool: DrivingPool, tmp_path) -> None:
    pool.save(tmp_path / "views.safetensors")
    again = DrivingPool.load(tmp_path / "views.safetensors")
    assert again.hash == pool.hash
    assert again.tracks[1].angles == pool.tracks[1].angles
    assert draw(again, ALWAYS, ["a"], copies=9) == draw(pool, ALWAYS, ["a"], copies=9)
