"""Labels of views, for training on head pose and expression: the requested, the chosen and the reached pose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from fomaug.augment import MotionAugment
from fomaug.augment.pixels import to_unit
from fomaug.data.batch import BatchFields
from fomaug.data.paths import Path, add_at, get_at
from fomaug.driving import EXPRESSIONS, mirrored_fields
from fomaug.faces import Square, head_pose
from fomaug.motion import Angles, MotionParams, mirrored_angles

EXPRESSION_FIELDS: Final = tuple(sorted({field for mix in EXPRESSIONS.values() for field in mix}))
"""Names of the columns of `expression`."""


def view_labels(augment: MotionAugment, images: Tensor, params: Sequence[MotionParams]) -> dict[str, Tensor]:
    """Describe the first face of each picture; `MotionAugment.apply` returns images and parameters.

    Args:
        augment: augmentation that moved the images.
        images: (N, 3 or 1, H, W) results, in the range of the augmentation.
        params: their N settled parameters.

    Returns:
        Tensors on the images' device. "asked" and "taken" are (N, 3) angles of the view, NaN where there is none;
        "reached" is the (N, 3) head pose estimated on the image, whether it moved or not; "expression" is (N, E) with
        the strength of each of `EXPRESSION_FIELDS`, NaN where the expression is unknown. Angles are yaw, pitch and roll
        in degrees; those of mirrored images are mirrored.
    """
    unknown = (float("nan"),) * 3
    rows = {
        "asked": [_angles(param, param.view.asked if param.view else None) or unknown for param in params],
        "taken": [_angles(param, param.view.taken if param.view else None) or unknown for param in params],
        "expression": [_expression(param) for param in params],
    }
    found = {name: torch.tensor(values, device=images.device) for name, values in rows.items()}
    return {**found, "reached": _reached(augment, images, params)}


def add_views(
    augment: MotionAugment, name: str = "view", which: Path | None = None
) -> Callable[[Any, list[MotionParams]], Any]:
    """Make a `relabel` for `MotionLoader` that adds `view_labels` to each batch.

    Args:
        augment: augmentation of the loader.
        name: name of the labels in batches that are dicts; tuples and lists get them as a further last value.
        which: path of the image in the batch; None as for `MotionLoader`.
    """
    fields = BatchFields(which)

    def relabel(batch: Any, params: list[MotionParams]) -> Any:
        labels = view_labels(augment, get_at(batch, fields.images(batch)[0]), params)
        return add_at(batch, name, labels)

    return relabel


def _angles(param: MotionParams, angles: Angles | None) -> Angles | None:
    return mirrored_angles(angles) if param.mirrored and angles is not None else angles


def _expression(param: MotionParams) -> list[float]:
    if param.view is None:
        return [float("nan")] * len(EXPRESSION_FIELDS)
    mix = EXPRESSIONS[param.view.expression]
    mix = mirrored_fields(mix) if param.mirrored else mix
    return [param.strength * mix.get(field, 0.0) for field in EXPRESSION_FIELDS]


def _reached(augment: MotionAugment, images: Tensor, params: Sequence[MotionParams]) -> Tensor:
    unit = to_unit(images.detach(), augment.value_range)
    if all(param.box is None for param in params):
        return head_pose(augment.model.detect(unit), augment.model).to(images.device)
    faces = [image if param.box is None else _cut(image, param) for image, param in zip(unit, params, strict=True)]
    poses = [head_pose(augment.model.detect(face[None]), augment.model) for face in faces]
    return torch.cat(poses).to(images.device)


def _cut(image: Tensor, param: MotionParams) -> Tensor:
    """Cut the square out that the face is in, also of a mirrored image."""
    assert param.box is not None
    left, top, right, bottom = param.box
    width = image.shape[-1]
    return Square(*((width - right, top, width - left, bottom) if param.mirrored else param.box)).cut(image)
