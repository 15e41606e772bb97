"""Labels of the copies: classes by the policy of the plan, views, and annotations, which move and become plain JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomaug.driving import EXPRESSIONS, DrivingPool, mirrored_expression, mirrored_fields
from fomaug.errors import ArgumentError, LabelError
from fomaug.expand.copies import AnimatedCopy
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.sources import SourceFile
from fomaug.labels import FaceLabels, move
from fomaug.motion import Angles, MotionParams, mirrored_angles
from fomaug.strict_json import without_nan

_AXES: Final = ("yaw", "pitch", "roll")
_ARRAYS: Final[dict[str, tuple[type, int]]] = {
    "points": (float, 2),
    "visible": (bool, 0),
    "boxes": (float, 4),
    "box_visible": (bool, 0),
}
"""Type of each array and length of its rows; 0 for one-dimensional arrays."""


def parse_labels(text: str) -> str | dict[str, str]:
    """Parse the option `labels`: a policy, or OLD=NEW pairs separated by commas.

    >>> parse_labels("keep"), parse_labels("*=fake"), parse_labels("glad=happy,*=other")
    ('keep', {'*': 'fake'}, {'glad': 'happy', '*': 'other'})
    """
    if "=" not in text:
        return text
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if not all(old.strip() and equals for old, equals, _ in pairs):
        raise ArgumentError(f"labels must be OLD=NEW pairs with commas between, got {text!r}")
    return {old.strip(): new.strip() for old, _, new in pairs}


def copy_label(
    policy: str | Mapping[str, str], source_label: str, clip_label: str | None, *, still: bool = False
) -> str:
    """Return the label of one copy; empty for no label.

    Args:
        policy: a label policy, or a mapping from old to new labels.
        source_label: label of the source.
        clip_label: label of the driving clip.
        still: True for an unchanged copy, which keeps the label of its source.
    """
    if policy == "drop":
        return ""
    if policy == "keep" or still:
        return source_label
    if policy == "from_clip":
        if not clip_label:
            raise LabelError("the clip has no label")
        return check_label(clip_label)
    assert not isinstance(policy, str)
    return check_label(policy.get(source_label, policy.get("*", source_label)))


def check_policy(plan: ExpandPlan, sources: Iterable[SourceFile], pool: DrivingPool) -> None:
    """Check that the label policy has a label for every possible copy.

    Raises:
        LabelError: clips have no label, or the mapping does not fit the dataset.
        ArgumentError: a label cannot name a folder.
    """
    if plan.labels == "from_clip":
        check_clip_labels(pool)
    elif not isinstance(plan.labels, str):
        labels = {source.label for source in sources}
        check_mapped(plan.labels, labels)
        _check_mapping(plan.labels, labels)


def check_clip_labels(pool: DrivingPool) -> None:
    """Check that every clip of a pool has a label that can name a folder.

    Raises:
        LabelError: clips have no label.
        ArgumentError: a label cannot name a folder.
    """
    nameless = [track.name for track in pool.tracks if not track.label]
    if nameless:
        raise LabelError(
            f"labels='from_clip', but {len(nameless)} of {len(pool)} driving clips have no label "
            f"({', '.join(nameless[:3])}); give clip_labels, a CSV file with columns clip,label"
        )
    for label in {track.label for track in pool.tracks}:
        check_label(label or "")


def check_mapped(mapping: Mapping[str, str], labels: set[str]) -> None:
    """Raise `LabelError` if a mapping from old to new labels lacks one of the labels of a dataset."""
    if "*" not in mapping and (missing := sorted(labels - set(mapping))):
        raise LabelError(
            f"labels maps {', '.join(sorted(mapping))}, but the dataset also has {', '.join(missing)}; "
            "map them, too, or all others by '*'"
        )


def _check_mapping(mapping: Mapping[str, str], labels: set[str]) -> None:
    if unknown := sorted(set(mapping) - labels - {"*"}):
        raise LabelError(f"labels maps {', '.join(unknown)}, but the dataset has {', '.join(sorted(labels)) or 'none'}")
    for new in mapping.values():
        check_label(new)


def check_label(label: str) -> str:
    """Return a label that can name a folder.

    Raises:
        ArgumentError: the label cannot name a folder.
    """
    if label in (".", "..") or any(sign in label for sign in "/\\\0:"):
        raise ArgumentError(f"label {label!r} cannot name a folder; map it to another with labels")
    return label


def list_classes(plan: ExpandPlan, sources: Iterable[SourceFile], pool: DrivingPool) -> tuple[str, ...]:
    """Return all labels that copies can have, sorted; archives number the classes in this order."""
    own = {source.label for source in sources}
    if plan.labels == "from_clip":
        labels = {track.label or "" for track in pool.tracks}
        if plan.mirror_probability:
            labels |= set(map(mirrored_expression, labels))
    else:
        labels = {copy_label(plan.labels, label, None) for label in own}
    if plan.faces != "frame" and plan.on_missing == "copy":
        labels |= {copy_label(plan.labels, label, None, still=True) for label in own}
    if plan.include_sources != "none":
        labels |= {copy_label(plan.labels, label, None, still=True) for label in own}
    return tuple(sorted(labels - {""}))


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


def move_labels(labels: FaceLabels | None, moved: AnimatedCopy) -> FaceLabels | None:
    """Move the labels of a source to one of its copies; None for a source without labels."""
    if labels is None:
        return None
    return move(labels, moved.flow, moved.picture.size, occlusion=moved.occlusion)


def to_json(labels: FaceLabels) -> dict[str, Any]:
    """Convert labels to plain JSON, without the mask, which is a file."""
    arrays = {name: _rounded(getattr(labels, name)) for name in _ARRAYS}
    segments = None if labels.segments is None else list(labels.segments)
    values = {**arrays, "segments": segments}
    return {name: value for name, value in values.items() if value is not None} | {"fields": labels.fields}


def from_json(values: dict[str, Any]) -> FaceLabels:
    """Convert the result of `to_json` to labels."""
    arrays: dict[str, Any] = {}
    for name, (kind, width) in _ARRAYS.items():
        if name in values:
            array: NDArray[Any] = np.array(values[name], kind)
            count = len(values[name])
            arrays[name] = array.reshape((count, width) if width else (count,))
    segments = tuple(values["segments"]) if "segments" in values else None
    return FaceLabels(**arrays, segments=segments, fields=values.get("fields", {}))


def _rounded(array: NDArray[Any] | None) -> list[Any] | None:
    if array is None:
        return None
    found: list[Any] = (array if array.dtype == bool else array.round(3)).tolist()
    return list(without_nan(found))
