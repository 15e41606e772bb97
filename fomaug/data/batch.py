"""Move the images of a whole batch, and the labels in it that have a place in the picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from torch import Tensor

from fomaug.augment import Faces, MotionAugment
from fomaug.data.labels import Move, Movement, move_boxes, move_label, move_labels, move_mask, move_points
from fomaug.data.pictures import like, to_tensor
from fomaug.data.structure import Place, get_at, image_place, set_at
from fomaug.errors import ArgumentError
from fomaug.faces import Detector
from fomaug.motion import MotionParams

NO_FACES: Final[tuple[()]] = ()
"""What a batch holds at the place of its boxes if that is None: boxes are asked for, and there are none."""

Key = str | int
Places = Sequence[Place] | Place
FacesAt = Place | Detector | Literal["auto"] | None
"""The place of face boxes, a detector, "auto" for the model itself, or None for whole pictures."""


@dataclass(frozen=True)
class BatchPlaces:
    """Where images and labels lie in a batch.

    Attributes:
        which: the image, or several that move alike; None for the first of a tuple, or what is called "image".
        masks: (B, H, W), (B, C, H, W) or (B, H, W, C) class numbers, or one mask for each image.
        boxes: (B, M, 4), (B, 4), or one (M, 4) for each image; x, y, x, y in pixels.
        points: (B, M, 2) pixels, or (B, M, 3) with visibility; or one (M, 2 or 3) for each image.
        keys: what names each image; None for numbers.
        faces: boxes as those above of the faces that move, or what finds them; None for whole pictures.
    """

    which: Place | list[Place] | None = None
    masks: Places = ()
    boxes: Places = ()
    points: Places = ()
    keys: Place | None = None
    faces: FacesAt = None

    def images(self, batch: object) -> list[Place]:
        """Return the places of the images."""
        if self.which is None:
            return [image_place(batch)]
        return self.which if isinstance(self.which, list) else [self.which]

    def moves(self) -> Iterator[tuple[Place, Move]]:
        """Return the place of every label, and what moves it."""
        for places, move in ((self.masks, move_mask), (self.boxes, move_boxes), (self.points, move_points)):
            for place in (places,) if isinstance(places, str | int) else places:
                yield place, move

    def faces_in(self, batch: object) -> Any:
        """Return the face boxes that a batch holds, or what finds them."""
        if self.faces is None or self.faces == "auto" or callable(self.faces):
            return self.faces
        found = get_at(batch, self.faces)
        return NO_FACES if found is None else found


def keys_in(batch: object, places: BatchPlaces) -> list[Key] | None:
    """Read the names of the images off the batch; None if it holds none."""
    if places.keys is None:
        return None
    keys = get_at(batch, places.keys)
    return keys.tolist() if isinstance(keys, Tensor) else list(keys)


def count_images(batch: object, places: BatchPlaces) -> int:
    """Return the number of images in a batch."""
    return len(get_at(batch, places.images(batch)[0]))


def move_batch(
    augment: MotionAugment,
    batch: Any,
    places: BatchPlaces,
    params: Sequence[MotionParams],
) -> tuple[Any, list[MotionParams]]:
    """Apply motion parameters to all that moves in a batch.

    Args:
        augment: the augmentation.
        batch: any nesting of dicts, lists, tuples, named tuples and dataclasses; not modified.
        places: where images and labels lie.
        params: one for each image.

    Returns:
        A batch of the same structure, and the parameters with their reference frames settled.
    """
    settled, movement = list(params), None
    faces: Faces | None = places.faces_in(batch)
    if faces is NO_FACES:
        faces = [NO_FACES] * count_images(batch, places)
    for place in places.images(batch):
        images = get_at(batch, place)
        if not isinstance(images, Tensor):
            raise ArgumentError(
                f"what lies at {place!r} is no tensor of images but {type(images).__name__}; set which="
            )
        result = augment.apply(images, settled, faces=faces)
        settled, movement = result.params, movement or Movement.of(result)
        batch = set_at(batch, place, result.image)
    if movement is not None and movement.rows:
        for place, move in places.moves():
            batch = set_at(batch, place, move_labels(get_at(batch, place), movement, move))
    return batch, settled


def move_item(
    augment: MotionAugment,
    item: Any,
    places: BatchPlaces,
    param: MotionParams,
) -> tuple[Any, MotionParams]:
    """Apply motion parameters to one item: pictures and labels without a batch axis, tensors, arrays or PIL images."""
    settled, movement = [param], None
    found = places.faces_in(item)
    faces: Faces | None = found if found is None or isinstance(found, str) or callable(found) else [found]
    for place in places.images(item):
        picture = get_at(item, place)
        result = augment.apply(to_tensor(picture)[None], settled, faces=faces)
        settled, movement = result.params, movement or Movement.of(result)
        item = set_at(item, place, like(result.image[0], picture))
    if movement is not None and movement.rows:
        for place, move in places.moves():
            item = set_at(item, place, move_label(get_at(item, place), movement, 0, move))
    return item, settled[0]
