"""Expressions of the canonical face, as displacement fields of its mesh, and the neutral face that they start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

import torch
from torch import Tensor

from fomaug.animator import Animator
from fomaug.errors import ArgumentError, did_you_mean
from fomaug.faces import fit_mean_face, is_face_model, mean_mesh, posed_face
from fomaug.geometry import hull_area
from fomaug.types import Keypoints

_UPPER_LID: Final = {"right": (246, 161, 160, 159, 158, 157, 173), "left": (466, 388, 387, 386, 385, 384, 398)}
_LOWER_LID: Final = {"right": (7, 163, 144, 145, 153, 154, 155), "left": (249, 390, 373, 374, 380, 381, 382)}
_UPPER_FOLD: Final = {"right": (247, 30, 29, 27, 28, 56, 190), "left": (467, 260, 259, 257, 258, 286, 414)}
_IRIS: Final = (468, 469, 470, 471, 472, 473, 474, 475, 476, 477)
_LOWER_LIP: Final = (146, 91, 181, 84, 17, 314, 405, 321, 375, 95, 88, 178, 87, 14, 317, 402, 318, 324)
_UPPER_LIP: Final = (185, 40, 39, 37, 0, 267, 269, 270, 409, 191, 80, 81, 82, 13, 312, 311, 310, 415)

EXPRESSIONS: Final[Mapping[str, Mapping[str, float]]] = {
    "neutral": {},
    "smile": {"smile": 0.9, "brows": 0.1},
    "laugh": {"smile": 1.0, "jaw": 0.4, "blink right": 0.25, "blink left": 0.25},
    "talk": {"jaw": 0.35, "upper lip": 0.3},
    "surprise": {"brows": 1.1, "jaw": 0.5, "blink right": -0.15, "blink left": -0.15},
    "frown": {"frown": 1.2, "brows": -0.4, "smile": -0.3},
    "pout": {"pout": 1.0},
    "blink": {"blink right": 1.0, "blink left": 1.0},
    "wink": {"blink left": 1.0, "smile": 0.3},
    "brows up": {"brows": 1.2},
    "look left": {"look aside": 0.9},
    "look right": {"look aside": -0.9},
    "look up": {"look down": -0.8, "blink right": -0.1, "blink left": -0.1},
    "look down": {"look down": 0.8, "blink right": 0.35, "blink left": 0.35},
}
"""The strength of each expression field by expression; left and right of a gaze are the person's own."""

_SIDED: Final = ("look aside", "mouth aside")
_MIRRORS: Final = {"blink right": "blink left", "blink left": "blink right"}
_MIRRORED_NAMES: Final = {"look left": "look right", "look right": "look left"}


def mirrored_expression(name: str) -> str:
    """Return the name of an expression in a mirrored picture.

    >>> mirrored_expression("look left"), mirrored_expression("smile")
    ('look right', 'smile')
    """
    return _MIRRORED_NAMES.get(name, name)


def mirrored_fields(strengths: Mapping[str, float]) -> dict[str, float]:
    """Return the strengths of the fields of an expression in a mirrored picture.

    >>> mirrored_fields({"blink left": 1.0, "look aside": 0.5, "smile": 0.3})
    {'blink right': 1.0, 'look aside': -0.5, 'smile': 0.3}
    """
    return {_MIRRORS.get(name, name): -value if name in _SIDED else value for name, value in strengths.items()}


DEFAULT_EXPRESSIONS: Final = ("neutral", "smile", "talk", "surprise", "frown", "blink")


def expression_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names as a tuple.

    Raises:
        ArgumentError: there is a single name instead of a list of names.
    """
    if isinstance(names, str):
        raise ArgumentError(f"expressions must be a list of names, got {names!r}; give [{names!r}]")
    return tuple(names)


def expression_mix(name: str) -> Mapping[str, float]:
    """Return the strength of each expression field.

    Raises:
        ArgumentError: the expression is unknown.
    """
    if name not in EXPRESSIONS:
        known = ", ".join(EXPRESSIONS)
        raise ArgumentError(f"expression must be one of {known}, got {name!r}{did_you_mean(name, EXPRESSIONS)}")
    return EXPRESSIONS[name]


@cache
def expression_fields() -> dict[str, Tensor]:
    """Compute the displacement (478, 3) of every expression at strength 1, in units of the mean face."""
    mean = mean_mesh()
    corners = mean[[61, 291]]
    return {
        "jaw": _jaw(mean),
        "smile": _pull(mean, corners, (0.055, -0.045, 0.02), 0.10),
        "pout": _pull(mean, corners, (-0.05, 0.0, -0.02), 0.09),
        "mouth aside": _bump(mean, (mean[13] + mean[14]) / 2, 0.13, (0.06, 0.0, 0.0)),
        "upper lip": _upper_lip(mean),
        "brows": _pull(mean, mean[[105, 334]], (0.0, -0.06, 0.0), 0.14),
        "frown": _pull(mean, mean[[55, 285]], (-0.02, 0.03, 0.0), 0.08),
        "blink right": _blink(mean, "right"),
        "blink left": _blink(mean, "left"),
        "look aside": _irises((0.045, 0.0, 0.0)),
        "look down": _irises((0.0, 0.025, 0.0)),
    }


def _bump(mean: Tensor, centre: Tensor, radius: float, shift: tuple[float, float, float]) -> Tensor:
    weight = torch.exp(-(mean[:, :2] - centre[:2]).square().sum(-1, keepdim=True) / radius**2)
    return weight * torch.tensor(shift)


def _pull(mean: Tensor, pair: Tensor, shift: tuple[float, float, float], radius: float) -> Tensor:
    """Shift the surroundings of two mirrored points; x of the shift points outwards."""
    x, y, z = shift
    return _bump(mean, pair[0], radius, (-x, y, z)) + _bump(mean, pair[1], radius, (x, y, z))


def _jaw(mean: Tensor) -> Tensor:
    line = (mean[13, 1] + mean[14, 1]) / 2
    below = torch.sigmoid((mean[:, 1] - line) / 0.03)
    below[list(_UPPER_LIP)] = 0.0  # the lips separate, so the step between them is not smooth
    below[list(_LOWER_LIP)] = 1.0
    # The corners of the mouth are hinges: near them the lower lip moves less.
    side = torch.exp(-((mean[:, 0] / 0.16) ** 2)) + 0.35 * torch.sigmoid((mean[:, 1] - line - 0.12) / 0.04)
    weight = (below * side.clamp(max=1.0))[:, None]
    return weight * torch.tensor([0.0, 0.2, 0.03])


def _upper_lip(mean: Tensor) -> Tensor:
    field = torch.zeros_like(mean)
    side = torch.exp(-((mean[list(_UPPER_LIP), 0] / 0.12) ** 2))
    field[list(_UPPER_LIP), 1] = -0.03 * side
    return field


def _blink(mean: Tensor, eye: str) -> Tensor:
    upper, lower, fold = list(_UPPER_LID[eye]), list(_LOWER_LID[eye]), list(_UPPER_FOLD[eye])
    gap = mean[lower] - mean[upper]
    field = torch.zeros_like(mean)
    field[upper] = 0.9 * gap
    field[lower] = -0.1 * gap
    field[fold] = 0.4 * gap
    return field


def _irises(shift: tuple[float, float, float]) -> Tensor:
    field = torch.zeros(478, 3)
    field[list(_IRIS)] = torch.tensor(shift)
    return field


def neutral_like(source: Keypoints, driving: Keypoints, model: Animator) -> Keypoints:
    """Make the reference keypoints for a driving picture that is not a frame of a clip.

    For models whose keypoints are face points, the reference is the mean face without expression, rotated like the
    source's head: relative transfer then gives the source the driving picture's pose and expression, and the source
    keeps its own shape. An unusual shape of the driving face cannot be distinguished from an expression and is
    transferred as well. For other models the reference is the source itself: relative transfer then copies the driving
    picture's pose together with the shape of its face. Both references have the position and the size of the driving
    face, so that the source keeps its own.

    Args:
        source: keypoints of one picture.
        driving: keypoints of one picture.
        model: model that found both.

    Returns:
        Keypoints of one frame.
    """
    own = source.to("cpu", torch.float32)
    if not is_face_model(model):
        return _lay(own, driving)
    mean = posed_face(fit_mean_face(own.value))
    return _lay(mean if driving.jacobian is not None else Keypoints(mean.value), driving)


def _lay(points: Keypoints, driving: Keypoints) -> Keypoints:
    """Move and scale a face to the position and the size of another."""
    other = driving.to("cpu", torch.float32)
    scale = (hull_area(other.value) / hull_area(points.value).clamp(min=1e-12)).sqrt()[:, None, None]
    value = (points.value - points.value.mean(1, keepdim=True)) * scale + other.value.mean(1, keepdim=True)
    jacobian = None if points.jacobian is None else points.jacobian * scale[..., None]
    return Keypoints(value, jacobian)
