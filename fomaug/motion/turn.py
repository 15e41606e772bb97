"""Fit views: estimate the source's head pose, choose a view that the source can show, and turn its keypoints there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from fomaug.driving.synthetic import expression_offset
from fomaug.errors import PoolError
from fomaug.faces import KEYPOINT_POINTS, pose_of_points, posed_face
from fomaug.geometry import hull_area, side_growth
from fomaug.motion.params import MotionParams
from fomaug.motion.targets import Fitted, find_targets
from fomaug.motion.view import Angles, View
from fomaug.types import Keypoints

GROWTH: Final = 1.5
"""Growth of a side of the face above which a view is replaced; measured, see docs/evidence/motion.md."""
FARTHEST: Final = 30.0
"""Largest turn from the source's yaw, in degrees, above which a view is replaced; measured, too."""

_NAMES: Final = tuple(KEYPOINT_POINTS)
_STEPS: Final = 16  # views between the one that is asked for and the yaw of the source
_FRACTION: Final = 64.0  # of a degree, so that angles are the same after writing and reading


def fit_views(params: Sequence[MotionParams], keypoints: Keypoints, names: Sequence[str]) -> Fitted:
    """Turn faces to their views, and give them their expressions.

    The target is the source's keypoints, plus the difference between the mean face in the view with the expression and
    the mean face in the source's pose, at the source's size.

    Args:
        params: N draws with a view. Settled ones are used as they are.
        keypoints: keypoints of the N faces.
        names: names of the K keypoints.

    Raises:
        PoolError: the keypoints are not known points of the face.
        ArgumentError: an expression is unknown.
    """
    if tuple(names) != _NAMES:
        raise PoolError("views need a model whose keypoints are known points of the face; take a pool of clips")
    views = [param.view for param in params if param.view is not None]
    strength = torch.tensor([param.strength for param in params]).to(keypoints.value)
    offset = strength[:, None, None, None] * _offsets(views).to(keypoints.value)
    poses = _poses(views, keypoints)
    taken, choice = _takeable(views, poses, keypoints)
    pair = keypoints, posed_face(taken, offset), posed_face(poses)
    unbounded = torch.zeros_like(strength, dtype=torch.bool)
    target, _ = find_targets(params, pair, torch.ones_like(strength), unbounded, names)
    rows = zip(params, views, taken.tolist(), poses.tolist(), choice.tolist(), strict=True)
    return Fitted(target, [replace(param, view=_settle(view, *found)) for param, view, *found in rows])


def _offsets(views: Sequence[View]) -> Tensor:
    names = list(dict.fromkeys(view.expression for view in views))
    table = torch.stack([expression_offset(name) for name in names])
    return table[[names.index(view.expression) for view in views]]


def _poses(views: Sequence[View], keypoints: Keypoints) -> Tensor:
    """Return the head poses (N, 3) of the sources, estimated where the view is not settled."""
    given = torch.tensor([view.pose or view.asked for view in views]).to(keypoints.value)
    if all(view.settled for view in views):
        return given
    return torch.where(_settled(views, given), given, pose_of_points(keypoints.value).to(given))


def _takeable(views: Sequence[View], poses: Tensor, keypoints: Keypoints) -> tuple[Tensor, Tensor]:
    """Choose the views (N, 3) to take, and return the number (N,) of each one's candidate: 0 for the one asked for."""
    asked = torch.tensor([view.taken or view.asked for view in views]).to(poses)
    if all(view.settled for view in views):
        return asked, torch.zeros(len(asked), dtype=torch.long)
    candidates = _candidates(asked, poses)
    turned = (candidates[..., 0] - poses[:, :1]).abs()
    fits = (measure_growth(candidates, poses, keypoints) <= GROWTH) & (turned <= FARTHEST)
    fits[:, 0] |= _settled(views, asked)[:, 0]
    # The last candidate has the source's own yaw, and is taken if none fits.
    rank = torch.arange(candidates.shape[1], 0, -1, device=poses.device)
    fits[:, -1] = True
    choice = (fits * rank).argmax(1)
    return candidates[torch.arange(len(choice), device=choice.device), choice], choice


def _settled(views: Sequence[View], like: Tensor) -> Tensor:
    return torch.tensor([[view.settled] for view in views], device=like.device)


def _candidates(asked: Tensor, poses: Tensor) -> Tensor:
    """List (N, C, 3) views in the order of preference: as asked, mirrored, then nearer and nearer to the source's."""
    mirrored = asked * asked.new_tensor([-1.0, 1.0, -1.0])
    share = torch.arange(1, _STEPS + 1, device=asked.device).to(asked) / _STEPS
    yaw = asked[:, :1] + (poses[:, :1] - asked[:, :1]) * share
    nearer = asked[:, None].repeat(1, _STEPS, 1)
    nearer[..., 0] = (yaw * _FRACTION).round() / _FRACTION
    return torch.cat([asked[:, None], mirrored[:, None], nearer], 1)


def measure_growth(candidates: Tensor, poses: Tensor, keypoints: Keypoints) -> Tensor:
    """Compute how much the side of the face grows that grows most, (N, C), without the expression."""
    source, reference = keypoints.value.detach(), posed_face(poses).value
    scale = (hull_area(source) / hull_area(reference)).sqrt()[:, None, None, None]
    count = candidates.shape[1]
    posed = posed_face(candidates.flatten(0, 1)).value.view(-1, count, *source.shape[1:])
    moved = source[:, None] + scale * (posed - reference[:, None])
    growth = side_growth(source.repeat_interleave(count, 0), moved.flatten(0, 1), _NAMES)
    return growth.view(-1, count)


def _settle(view: View, taken: Sequence[float], pose: Sequence[float], choice: int) -> View:
    if view.settled:
        return view
    yaw, pitch, roll = view.asked
    # Angles as they were asked for, not as float32 has them, so that equal views are equal.
    exact: dict[int, Angles] = {0: view.asked, 1: (0.0 - yaw, pitch, 0.0 - roll)}
    return replace(view, taken=exact.get(choice, _angles(taken)), pose=_angles(pose))


def _angles(values: Sequence[float]) -> Angles:
    yaw, pitch, roll = values
    return yaw, pitch, roll
