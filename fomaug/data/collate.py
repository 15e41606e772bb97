"""The `collate_fn` form of the augmentation, as CutMix and MixUp have it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.utils.data import default_collate

from fomaug.augment import MotionAugment
from fomaug.data.batch import BatchPlaces, FacesAt, Places, count_images, keys_in, move_batch
from fomaug.data.structure import Place

Collate = Callable[[list[Any]], Any]


def motion_collate(
    augment: MotionAugment,
    collate_fn: Collate = default_collate,
    *,
    which: Place | list[Place] | None = None,
    masks: Places = (),
    boxes: Places = (),
    points: Places = (),
    keys: Place | None = None,
    faces: FacesAt = None,
) -> Collate:
    """Make a `collate_fn` that collates, then animates the batch; on the CPU, also in worker processes.

    Args:
        augment: the augmentation, its model on the CPU.
        collate_fn: makes a batch of items.
        which: place of the image in the batch, or of several images that move alike.
        masks: places of (B, H, W), (B, C, H, W) or (B, H, W, C) masks.
        boxes: places of (B, M, 4) pixel boxes.
        points: places of (B, M, 2 or 3) pixel points.
        keys: place of what names each image, so that draws do not depend on workers and order. None: images are
            counted, each worker on its own, and a seeded DataLoader repeats its run only with as many workers.
        faces: place of the boxes of the faces that move, as for `boxes`; a detector; "auto"; or None for whole images.
            See `MotionAugment.place`.
    """
    return _MotionCollate(augment, collate_fn, BatchPlaces(which, masks, boxes, points, keys, faces))


@dataclass(frozen=True)
class _MotionCollate:
    augment: MotionAugment
    collate_fn: Collate
    places: BatchPlaces

    def __call__(self, items: list[Any]) -> Any:
        batch = self.collate_fn(items)
        if not self.augment.training:
            return batch
        keys = keys_in(batch, self.places) or self.augment.next_keys(count_images(batch, self.places))
        return move_batch(self.augment, batch, self.places, self.augment.draw(keys))[0]
