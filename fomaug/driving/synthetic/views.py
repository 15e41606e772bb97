"""Views: head poses for all combinations of given angles, each with every expression; and the choice of the angles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fomaug.animator import Animator
from fomaug.driving.synthetic.expressions import (
    DEFAULT_EXPRESSIONS,
    expression_fields,
    expression_mix,
    expression_names,
)
from fomaug.driving.synthetic.tracks import FPS
from fomaug.driving.track import MotionTrack
from fomaug.errors import ArgumentError, shortened
from fomaug.faces import head_pose, keypoint_frames, posed_face
from fomaug.media import to_tensor

YAWS: Final = (-60.0, -40.0, -20.0, 0.0, 20.0, 40.0, 60.0)
PITCHES: Final = (-25.0, 0.0, 25.0)
ROLLS: Final = (0.0,)
_WIDEST: Final[Mapping[str, float]] = {"yaw": 70.0, "pitch": 45.0, "roll": 60.0}
_MOST: Final = 10_000  # views of a pool; more would hardly differ
_SAMPLE: Final = 100  # Most pictures of a dataset whose poses are estimated.
_USUAL: Final = 0.9  # Share of the pictures whose poses are covered; the others may be errors of the estimate.
_WIDER: Final = (10.0, 5.0)  # Degrees beyond the poses of the pictures, in yaw and pitch.
_LEAST: Final = (20.0, 10.0)
_LARGEST: Final = (60.0, 25.0)


def view_tracks(
    *,
    yaw: Sequence[float] = YAWS,
    pitch: Sequence[float] = PITCHES,
    roll: Sequence[float] = ROLLS,
    expressions: Sequence[str] = DEFAULT_EXPRESSIONS,
) -> list[MotionTrack]:
    """Make one track for each expression, which has one frame for each combination of the angles.

    Args:
        yaw: angles in degrees; positive turns the face to the viewer's left.
        pitch: angles in degrees; positive turns it down.
        roll: angles in degrees; positive tilts it clockwise for the viewer.
        expressions: names in `EXPRESSIONS`.

    Raises:
        ArgumentError: an expression is unknown, or an angle is not a number or out of range.
    """
    expressions = expression_names(expressions)
    angles = [_checked(name, values) for name, values in (("yaw", yaw), ("pitch", pitch), ("roll", roll))]
    poses = tuple((y, p, r) for y, p, r in product(*angles))
    if not expressions or len(poses) > _MOST:
        raise ArgumentError(
            f"views need at least one expression and up to {_MOST} combinations of angles, got {len(expressions)} and "
            f"{len(poses)}"
        )
    tracks = []
    for name in dict.fromkeys(expressions):
        keypoints = posed_face(torch.tensor(poses), expression_offset(name))
        tracks.append(
            MotionTrack(f"view {name}", keypoints, FPS, name, driver="mean face", angles=poses, expression=name)
        )
    return tracks


@cache
def expression_offset(name: str) -> Tensor:
    """Return the change (K, 3, 3) of the mean face's keypoints by an expression at strength 1, see `keypoint_frames`.

    Raises:
        ArgumentError: the expression is unknown.
    """
    fields = expression_fields()
    moved = torch.zeros(478, 3)
    for field, strength in expression_mix(name).items():
        moved = moved + strength * fields[field]
    return keypoint_frames(moved)


def _checked(name: str, values: Sequence[float]) -> tuple[float, ...]:
    """Return the distinct angles as plain numbers."""
    widest = _WIDEST[name]
    try:
        angles = tuple(dict.fromkeys(float(value) + 0.0 for value in values))  # -0.0 is 0.0
    except (TypeError, ValueError) as cause:
        raise ArgumentError(f"{name} must be angles in degrees, got {shortened(values)}") from cause
    if not angles or not all(abs(angle) <= widest for angle in angles):
        raise ArgumentError(
            f"{name} must be angles from -{widest:g} to {widest:g} degrees, at least one, got {shortened(values)}"
        )
    return angles


def views_like(poses: Tensor) -> str:
    """Return the specification of views that cover the poses of a dataset's pictures, with a margin, on both sides.

    Args:
        poses: (N, 3) yaw, pitch and roll in degrees, as `fomaug.faces.head_pose` returns them.

    Returns:
        The specification of a pool, a value of `driving` for `MotionAugment` and studies.

    Raises:
        ArgumentError: there is no pose.

    >>> views_like(torch.tensor([[0.0, 4.0, 0.0], [-25.0, 2.0, 3.0], [28.0, -3.0, 1.0]]))
    'views yaw=-40:40:20 pitch=-10,0,10'
    """
    known = poses[poses.isfinite().all(1)]
    if not len(known):
        raise ArgumentError("no picture has a face whose pose can be estimated; give the angles of the views instead")
    # Each dataset has an offset in pitch, because cameras look down or up at faces; only the range of pitch counts.
    away = torch.stack([known[:, 0], known[:, 1] - known[:, 1].median()], 1).abs()
    usual = torch.quantile(away.double(), _USUAL, dim=0).tolist()
    yaw, pitch = (
        min(most, max(least, 10 * math.ceil((angle + wider) / 10 - 0.5)))
        for angle, wider, least, most in zip(usual, _WIDER, _LEAST, _LARGEST, strict=True)
    )
    return f"views yaw={-yaw:g}:{yaw:g}:{yaw / 2:g} pitch={-pitch:g},0,{pitch:g}"


def views_of(faces: Iterable[NDArray[np.uint8]], model: Animator) -> str:
    """Estimate the head poses of faces, and return the specification of views that cover them, see `views_like`.

    Args:
        faces: pictures of one face each, (H, W, 1 or 3) uint8, of any sizes.
        model: model whose keypoints are known points of the face.

    Raises:
        ArgumentError: there is no face.
        PoolError: the keypoints of the model have no names.
    """
    return views_like(poses_of(faces, model))


def poses_of(faces: Iterable[NDArray[np.uint8]], model: Animator) -> Tensor:
    """Return the head poses (N, 3) of faces; see `views_of` for the arguments, and `fomaug.faces.head_pose`."""
    return torch.cat([torch.zeros(0, 3), *(_pose(face, model) for face in faces)])


def _pose(face: NDArray[np.uint8], model: Animator) -> Tensor:
    image = to_tensor(face)[None].contiguous().float() / 255
    return head_pose(model.detect(image.expand(-1, 3, -1, -1).to(model.device)), model).cpu()


def pose_sample(count: int) -> list[int]:
    """Return the indices of at most 100 of `count` pictures, spread evenly over the dataset.

    >>> pose_sample(3), len(pose_sample(1000))
    ([0, 1, 2], 100)
    """
    chosen: list[int] = np.linspace(0, count - 1, min(count, _SAMPLE)).round().astype(int).tolist()
    return chosen
