"""Move the images of a batch or an item, and all labels in it that have coordinates; describe the views of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor
from torch.utils.data import default_collate

from fomaug.augment import Faces, MotionAugment
from fomaug.augment.pixels import to_unit
from fomaug.data.labels import (
    BatchMovement,
    Move,
    image_like,
    image_tensor,
    move_boxes,
    move_label,
    move_labels,
    move_mask,
    move_points,
)
from fomaug.data.paths import Path, add_at, get_at, image_path, set_at
from fomaug.driving import EXPRESSIONS, mirrored_fields
from fomaug.errors import ArgumentError, ShapeError
from fomaug.faces import Detector, Square, head_pose
from fomaug.motion import Angles, Key, MotionParams, mirrored_angles

IS_SYNTHETIC: Final = "is_synthetic"
"""Name of the flag for images that moved, in batches and items that are dicts."""

NO_FACES: Final[tuple[()]] = ()
"""The boxes of a batch or item whose boxes are None: it has no faces."""

Paths = Sequence[Path] | Path
FacesField = Path | Detector | Literal["auto"] | None
"""The path of face boxes, a detector, "auto" for the model's own search, or None for whole images."""

Collate = Callable[[list[Any]], Any]


@dataclass(frozen=True)
class BatchFields:
    """The paths of images and labels in a batch.

    Attributes:
        which: path of the image, or list of the paths of several that move alike; None for the first value of a tuple,
            or the value named "image".
        masks: paths of (B, H, W), (B, C, H, W) or (B, H, W, C) class numbers, or of one mask for each image.
        boxes: paths of (B, M, 4) or (B, 4) boxes, or of one (M, 4) for each image; x, y, x, y in pixels.
        points: paths of (B, M, 2) pixel points, or (B, M, 3) with visibility; or of one (M, 2 or 3) for each image.
        keys: path of the names of the images; None for numbers.
        faces: path of the boxes of the faces that move, or a function that finds them; None for whole images.
    """

    which: Path | list[Path] | None = None
    masks: Paths = ()
    boxes: Paths = ()
    points: Paths = ()
    keys: Path | None = None
    faces: FacesField = None

    def images(self, batch: object) -> list[Path]:
        """Return the paths of the images."""
        if self.which is None:
            return [image_path(batch)]
        return self.which if isinstance(self.which, list) else [self.which]

    def moves(self) -> Iterator[tuple[Path, Move]]:
        """Yield the path of every label, and the function that moves it."""
        for paths, move in ((self.masks, move_mask), (self.boxes, move_boxes), (self.points, move_points)):
            for path in (paths,) if isinstance(paths, str | int) else paths:
                yield path, move

    def faces_in(self, batch: object) -> Any:
        """Return the face boxes in a batch, or the function or name of the search that finds them."""
        if self.faces is None or self.faces == "auto" or callable(self.faces):
            return self.faces
        found = get_at(batch, self.faces)
        return NO_FACES if found is None else found

    def keys_in(self, batch: object) -> list[Key] | None:
        """Return the names of the images in a batch; None if it has none."""
        if self.keys is None:
            return None
        keys = get_at(batch, self.keys)
        return keys.tolist() if isinstance(keys, Tensor) else list(keys)

    def count_images(self, batch: object) -> int:
        """Return the number of images in a batch."""
        return len(get_at(batch, self.images(batch)[0]))


def check_augment(augment: object) -> None:
    """Raise `ArgumentError` unless a value is a `MotionAugment`."""
    if not isinstance(augment, MotionAugment):
        raise ArgumentError(f"augment must be a MotionAugment, got {type(augment).__name__}")


def motion_collate(
    augment: MotionAugment,
    collate_fn: Collate = default_collate,
    *,
    which: Path | list[Path] | None = None,
    masks: Paths = (),
    boxes: Paths = (),
    points: Paths = (),
    keys: Path | None = None,
    faces: FacesField = None,
) -> Collate:
    """Make a `collate_fn` that collates, then animates the batch; on the CPU, also in worker processes.

    Args:
        augment: augmentation with its model on the CPU.
        collate_fn: function that makes a batch of items.
        which: path of the image in the batch, or list of the paths of several that move alike.
        masks: paths of (B, H, W), (B, C, H, W) or (B, H, W, C) masks.
        boxes: paths of (B, M, 4) pixel boxes.
        points: paths of (B, M, 2 or 3) pixel points.
        keys: path of the names of the images; with them, draws do not depend on workers and order. None: images are
            counted, by each worker on its own, and a seeded DataLoader repeats its run only with as many workers.
        faces: path of the boxes of the faces that move, as for `boxes`; a detector; "auto"; or None for whole images.
            See `MotionAugment.place`.
    """
    check_augment(augment)
    return _MotionCollate(augment, collate_fn, BatchFields(which, masks, boxes, points, keys, faces))


@dataclass(frozen=True)
class _MotionCollate:
    augment: MotionAugment
    collate_fn: Collate
    fields: BatchFields

    def __call__(self, items: list[Any]) -> Any:
        batch = self.collate_fn(items)
        if not self.augment.training:
            return batch
        keys = self.fields.keys_in(batch) or self.augment.next_keys(self.fields.count_images(batch))
        return move_batch(self.augment, batch, self.fields, self.augment.draw(keys))[0]


def move_batch(
    augment: MotionAugment, batch: Any, fields: BatchFields, params: Sequence[MotionParams]
) -> tuple[Any, list[MotionParams]]:
    """Apply motion parameters to the images and labels of a batch.

    Args:
        augment: augmentation that applies the parameters.
        batch: any nesting of dicts, lists, tuples, named tuples and dataclasses; not modified.
        fields: paths of images and labels.
        params: motion parameters, one for each image.

    Returns:
        A batch of the same structure, and the parameters with their reference frames settled.
    """
    settled, movement = list(params), None
    faces: Faces | None = fields.faces_in(batch)
    if faces is NO_FACES:
        faces = [NO_FACES] * fields.count_images(batch)
    for path in fields.images(batch):
        images = get_at(batch, path)
        if not isinstance(images, Tensor):
            raise ArgumentError(
                f"the value at {path!r} is not a tensor of images but {type(images).__name__}; set which= to "
                "the path of the images, or stack pictures of one size in collate_fn"
            )
        result = augment.apply(images, settled, faces=faces)
        settled, movement = result.params, movement or BatchMovement.of(result)
        batch = set_at(batch, path, result.image)
    if movement is not None and movement.rows:
        for path, move in fields.moves():
            batch = set_at(batch, path, move_labels(get_at(batch, path), movement, move))
    return batch, settled


def move_item(augment: MotionAugment, item: Any, fields: BatchFields, param: MotionParams) -> tuple[Any, MotionParams]:
    """Apply motion parameters to one item: images and labels without a batch axis, tensors, arrays or PIL images."""
    settled, movement = [param], None
    found = fields.faces_in(item)
    faces: Faces | None = found if found is None or isinstance(found, str) or callable(found) else [found]
    for path in fields.images(item):
        image = get_at(item, path)
        result = augment.apply(image_tensor(image)[None], settled, faces=faces)
        settled, movement = result.params, movement or BatchMovement.of(result)
        item = set_at(item, path, image_like(result.image[0], image))
    if movement is not None and movement.rows:
        for path, move in fields.moves():
            item = set_at(item, path, move_label(get_at(item, path), movement.movement, 0, move))
    return item, settled[0]


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

    Raises:
        ShapeError: there is another number of images than of parameters.
    """
    if len(images) != len(params):
        raise ShapeError(f"each image needs its parameters; got {len(images)} images and {len(params)} parameters")
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
