"""Labels of views in manifest rows: the head pose asked for and reached, and the expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fomaug.driving import EXPRESSIONS, mirrored_expression, mirrored_fields
from fomaug.motion import Angles, MotionParams, mirrored_angles

_AXES: Final = ("yaw", "pitch", "roll")


def view_labels(params: MotionParams, poses: Sequence[Angles | None]) -> dict[str, Any]:
    """Return the row's entry "view", which describes the first face; "others" in it describes the further ones.

    Args:
        params: fitted parameters of a copy; if it is mirrored, the labels are those of the mirrored picture.
        poses: estimated head pose of each face before the copy was mirrored.
    """
    pairs = zip(params.faces, poses, strict=False)
    labels = [_labels(face, pose, mirrored=params.mirrored) for face, pose in pairs]
    if not labels or labels[0] is None:
        return {}
    return {"view": {**labels[0], **({"others": labels[1:]} if labels[1:] else {})}}


def _labels(params: MotionParams, pose: Angles | None, *, mirrored: bool) -> dict[str, Any] | None:
    view = params.view
    if view is None or view.taken is None:
        return None
    mix, name = EXPRESSIONS.get(view.expression, {}), view.expression
    asked, taken, reached = view.asked, view.taken, pose
    if mirrored:
        mix, name = mirrored_fields(mix), mirrored_expression(name)
        asked, taken = mirrored_angles(asked), mirrored_angles(taken)
        reached = None if pose is None else mirrored_angles(pose)
    return {
        "asked": list(asked),
        "taken": list(taken),
        "replaced": view.replaced,
        "reached": None if reached is None else list(reached),
        "expression": name,
        "values": {name: round(strength * params.strength, 5) for name, strength in mix.items()},
    }


def view_columns(view: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten the entry "view" of a manifest row, which describes the first face, to columns.

    >>> view_columns({"asked": [30, 0, 0], "reached": None, "expression": "smile", "values": {"smile": 0.8}})
    {'asked_yaw': 30, 'asked_pitch': 0, 'asked_roll': 0, 'view_expression': 'smile', 'view_smile': 0.8}
    """
    columns: dict[str, Any] = {}
    for kind in ("asked", "reached"):
        angles = view.get(kind) or ()
        columns |= {f"{kind}_{axis}": angle for axis, angle in zip(_AXES, angles, strict=False)}
    if view.get("expression"):
        columns["view_expression"] = view["expression"]
    return columns | {f"view_{name}": value for name, value in (view.get("values") or {}).items()}
