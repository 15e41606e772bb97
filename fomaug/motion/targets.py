"""Target keypoints of rows: by the modes of transfer, or, for views, turned to a head pose that the source can show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final, NamedTuple

import torch
from torch import Tensor

from fomaug.device import constant, constants, send
from fomaug.driving.synthetic import EXPRESSIONS, expression_offset
from fomaug.errors import PoolError
from fomaug.faces import KEYPOINT_POINTS, pose_of_points, posed_face, round_angles
from fomaug.geometry import Bounded, Measures, TransferMode, bounded_target, hull_area, side_growth
from fomaug.motion.params import MotionParams
from fomaug.motion.view import Aim, Angles, View, aim, earlier_aim
from fomaug.types import Keypoints

GROWTH: Final = 1.5
"""Growth of a side of the face above which a view is replaced; measured, see docs/evidence/motion.md."""
FARTHEST: Final = 30.0
"""Largest turn of the mean face, in degrees, above which a view is replaced; measured, too."""
_NAMES: Final = tuple(KEYPOINT_POINTS)
_STEPS: Final = 16  # views between the drawn view and the yaw of the source
_NUMBERS: Final = 13  # of a settled view: the chosen view, the pose of the source, start and end, the candidate


class Fitted(NamedTuple):
    """Motion parameters that are fitted to their sources.

    Attributes:
        target: keypoints of N frames, for `Animator.animate`.
        params: N parameters with settled reference frame and strength; fitting them again does not change them.
    """

    target: Keypoints
    params: list[MotionParams]


class Fitting(NamedTuple):
    """Motion parameters whose settled numbers are still on the device.

    Attributes:
        target: keypoints of N frames, for `Animator.animate`.
        numbers: (M,) numbers that settle the parameters; empty if all were settled before.
        settle: function from these numbers, as a list, to the N parameters, see `Fitted`.
    """

    target: Keypoints
    numbers: Tensor
    settle: Callable[[Sequence[float]], list[MotionParams]]


def find_targets(
    params: Sequence[MotionParams],
    keypoints: tuple[Keypoints, Keypoints, Keypoints],
    strength: Tensor,
    free: Tensor,
    names: Sequence[str],
    measures: Measures | None = None,
) -> Bounded:
    """Do as `bounded_target` for rows whose modes of transfer may differ, grouped by mode."""
    modes = [TransferMode(param.relative, param.relative_jacobian, param.adapt_scale, param.region) for param in params]
    if len(set(modes)) == 1:
        return bounded_target(*keypoints, modes[0], names, strength, free, measures)
    order = sorted(range(len(params)), key=modes.__getitem__)
    groups = [list(group) for _, group in groupby(order, key=modes.__getitem__)]
    back = sorted(range(len(order)), key=order.__getitem__)
    *parts, there = send([*groups, back], strength.device)
    found = []
    for group, rows in zip(groups, parts, strict=True):
        source, driving, reference = (part[rows] for part in keypoints)
        own = None if measures is None else measures.take(rows)
        mode = modes[group[0]]
        found.append(bounded_target(source, driving, reference, mode, names, strength[rows], free[rows], own))
    targets, shares, taken = zip(*found, strict=True)
    return Bounded(Keypoints.cat(targets)[there], torch.cat(shares)[there], torch.cat(taken)[there])


def fit_views(params: Sequence[MotionParams], keypoints: Keypoints, names: Sequence[str]) -> Fitting:
    """Rotate faces to their views, and apply the expressions.

    The target is the source's keypoints, plus the difference between the mean face in the view with the expression and
    the mean face in the source's pose, at the source's size; see `aim` for these poses of the mean face.

    Args:
        params: N draws with a view. Settled ones are used as they are.
        keypoints: keypoints of the N faces.
        names: names of the K keypoints.

    Raises:
        PoolError: the keypoints are not known points of the face.
        ArgumentError: an expression is unknown.
    """
    if tuple(names) != _NAMES:
        raise PoolError("views need a model whose keypoints are known points of the face; use a pool of clips")
    views = [param.view for param in params if param.view is not None]
    given = _send(params, views, keypoints.value)
    poses, taken, choice = given.poses, given.views, None
    if not all(view.settled for view in views):
        poses = torch.where(given.settled, poses, pose_of_points(keypoints.value).to(poses))
        taken, choice = _takeable(given, poses, keypoints)
    start, end = _aim(views, given, taken, poses)
    pair = keypoints, posed_face(end, given.offset), posed_face(start)
    free = torch.ones_like(given.settled[:, 0])
    target = find_targets(params, pair, torch.ones_like(poses[:, 0]), free, names).target
    if choice is None:
        return Fitting(target, poses.new_empty(0), lambda _: list(params))

    def settle(numbers: Sequence[float]) -> list[MotionParams]:
        found = [numbers[start : start + _NUMBERS] for start in range(0, len(numbers), _NUMBERS)]
        return [replace(p, view=_settle(view, own)) for p, view, own in zip(params, views, found, strict=True)]

    numbers = torch.cat([taken, poses, start, end, choice[:, None].to(poses.dtype)], 1)
    return Fitting(target, numbers.flatten(), settle)


def _aim(views: Sequence[View], given: _Given, taken: Tensor, poses: Tensor) -> Aim:
    """Choose the poses of the mean face, or take those of settled rows."""
    chosen = aim(taken, poses)
    if any(view.settled for view in views):
        chosen = _choose(given.settled, given.aim, chosen)
    if any(view.settled and view.start is None for view in views):
        chosen = _choose(given.earlier, earlier_aim(taken, poses), chosen)
    return chosen


def _choose(rows: Tensor, there: Aim, elsewhere: Aim) -> Aim:
    return Aim(torch.where(rows, there.start, elsewhere.start), torch.where(rows, there.end, elsewhere.end))


class _Given(NamedTuple):
    """The numbers of N views on a device.

    Attributes:
        views: (N, 3) drawn views, or the chosen ones of settled views.
        poses: (N, 3) head poses of the sources of settled views; without a meaning for other views.
        settled: (N, 1) bool.
        earlier: (N, 1) bool, settled views that do not contain the poses of the mean face.
        aim: poses of the mean face of the other settled views; without a meaning for other views.
        offset: (N, K, 3, 3) changes of the keypoints' frames by the expressions.
    """

    views: Tensor
    poses: Tensor
    settled: Tensor
    earlier: Tensor
    aim: Aim
    offset: Tensor


def _send(params: Sequence[MotionParams], views: Sequence[View], like: Tensor) -> _Given:
    columns = (
        [view.taken or view.asked for view in views],
        [view.pose or view.asked for view in views],
        [[view.settled] for view in views],
        [[view.settled and view.start is None] for view in views],
        [view.start or view.asked for view in views],
        [view.end or view.asked for view in views],
        [_number(view.expression) for view in views],
        [float(param.strength) for param in params],
    )
    asked, poses, settled, earlier, start, end, expressions, strength = send(columns, like.device)
    offset = strength.to(like.dtype)[:, None, None, None] * _offsets(like.device)[expressions].to(like.dtype)
    known = Aim(start.to(like.dtype), end.to(like.dtype))
    return _Given(asked.to(like.dtype), poses.to(like.dtype), settled, earlier, known, offset)


def _number(expression: str) -> int:
    expression_offset(expression)  # raises an error if it is unknown
    return list(EXPRESSIONS).index(expression)


@constants
def _offsets(device: torch.device) -> Tensor:
    """Return the change (E, K, 3, 3) of the mean face's keypoints by every expression."""
    return torch.stack([expression_offset(name) for name in EXPRESSIONS]).to(device)


def _takeable(given: _Given, poses: Tensor, keypoints: Keypoints) -> tuple[Tensor, Tensor]:
    """Choose the views (N, 3), and return the number (N,) of each chosen candidate: 0 for the drawn view."""
    candidates = _candidates(given.views, poses)
    turned, growth = measure_moves(candidates, poses, keypoints)
    fits = (growth <= GROWTH) & (turned <= FARTHEST)
    fits[:, 0] |= given.settled[:, 0]
    # The last candidate has the source's yaw, and is chosen if no other fits.
    rank = torch.arange(candidates.shape[1], 0, -1, device=poses.device)
    fits[:, -1] = True
    choice = (fits * rank).argmax(1)
    return candidates[torch.arange(len(choice), device=choice.device), choice], choice


def _candidates(asked: Tensor, poses: Tensor) -> Tensor:
    """List (N, C, 3) views in the order of preference: as drawn, mirrored, then step by step nearer to the source."""
    mirrored = asked * constant((-1.0, 1.0, -1.0), asked.device, asked.dtype)
    share = torch.arange(1, _STEPS + 1, device=asked.device).to(asked) / _STEPS
    yaw = asked[:, :1] + (poses[:, :1] - asked[:, :1]) * share
    nearer = asked[:, None].repeat(1, _STEPS, 1)
    nearer[..., 0] = round_angles(yaw)
    return torch.cat([asked[:, None], mirrored[:, None], nearer], 1)


def measure_moves(candidates: Tensor, poses: Tensor, keypoints: Keypoints) -> tuple[Tensor, Tensor]:
    """Compute two (N, C) measures of candidates (N, C, 3), without the expression.

    Returns:
        The turn of the mean face in degrees, and the growth of the side of the face that grows most.
    """
    source, count = keypoints.value.detach(), candidates.shape[1]
    start, end = aim(candidates.flatten(0, 1), poses.repeat_interleave(count, 0))
    reference = posed_face(start[::count]).value
    scale = (hull_area(source) / hull_area(reference)).sqrt()[:, None, None, None]
    posed = posed_face(end).value.view(-1, count, *source.shape[1:])
    moved = source[:, None] + scale * (posed - reference[:, None])
    growth = side_growth(source.repeat_interleave(count, 0), moved.flatten(0, 1), _NAMES)
    return (end[:, 0] - start[:, 0]).abs().view(-1, count), growth.view(-1, count)


def _settle(view: View, numbers: Sequence[float]) -> View:
    if view.settled:
        return view
    taken, pose, start, end = (_angles(numbers[first : first + 3]) for first in (0, 3, 6, 9))
    choice = int(numbers[12])
    yaw, pitch, roll = view.asked
    # The drawn angles are kept instead of their float32 values, so that equal views are equal.
    exact: dict[int, Angles] = {0: view.asked, 1: (0.0 - yaw, pitch, 0.0 - roll)}
    return replace(view, taken=exact.get(choice, taken), pose=pose, start=start, end=end)


def _angles(values: Sequence[float]) -> Angles:
    yaw, pitch, roll = values
    return yaw, pitch, roll
