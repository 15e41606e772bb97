"""Labels of views in manifest rows: the head pose asked for and reached, and the expression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fomaug.driving import EXPRESSIONS
from fomaug.motion import Angles, MotionParams


def view_labels(params: MotionParams, poses: Sequence[Angles | None]) -> dict[str, Any]:
    """Return the row's entry "view", which describes the first face; "others" in it describes the further ones.

    Args:
        params: fitted parameters of a copy.
        poses: estimated head pose of each face of the copy.
    """
    labels = [_labels(face, pose) for face, pose in zip(params.faces, poses, strict=False)]
    if not labels or labels[0] is None:
        return {}
    return {"view": {**labels[0], **({"others": labels[1:]} if labels[1:] else {})}}


def _labels(params: MotionParams, pose: Angles | None) -> dict[str, Any] | None:
    view = params.view
    if view is None or view.taken is None:
        return None
    mix = EXPRESSIONS.get(view.expression, {})
    return {
        "asked": list(view.asked),
        "taken": list(view.taken),
        "replaced": view.replaced,
        "reached": None if pose is None else list(pose),
        "expression": view.expression,
        "values": {name: round(strength * params.strength, 5) for name, strength in mix.items()},
    }
