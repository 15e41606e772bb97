"""`MotionDataset`: a map-style dataset with moved copies of every item."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from fomaug.augment import MotionAugment
from fomaug.data.batch import IS_SYNTHETIC, BatchFields, FacesField, Paths, check_augment, move_item
from fomaug.data.paths import Path, add_at
from fomaug.errors import ArgumentError
from fomaug.motion import Key, MotionParams
from fomaug.options import whole

Relabel = Callable[[Any, MotionParams], Any]


class MapDataset(Protocol):
    """A dataset whose items have numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class MotionDataset(Dataset[Any]):
    """Animate the items of a dataset, in the main process or in workers, always on the CPU or the model's device.

    A copy depends on (seed, epoch, key, copy) only: not on the worker, the start method or the order. Items keep their
    structure and their labels; masks, boxes and points move along. After `augment.eval()` nothing moves; workers that
    are running already keep the mode in which they began.

    The dataset does not count how often a sampler draws an item: an index has the same item all through an epoch. See
    `MotionLoader` for samplers that draw some items several times.

    Worker processes run torch on one thread each, as the DataLoader sets it, so they do not compete for cores.

    Args:
        dataset: map-style dataset; its images are tensors (C, H, W), arrays (H, W, C) or PIL images.
        augment: augmentation; in worker processes its model must be on the CPU.
        copies: number of copies of each item. Copies of one item are neighbours.
        originals: whether every item is also returned unchanged, before its copies.
        which: path of the image in the item, or list of the paths of several that move alike; None for the first value
            of a tuple, or the value named "image".
        masks: paths of (H, W), (C, H, W) or (H, W, C) masks.
        boxes: paths of (M, 4) pixel boxes.
        points: paths of (M, 2) pixel points, or (M, 3) with visibility.
        keys: names of the items; None for their numbers.
        faces: path of the (M, 4) pixel boxes of the faces that move, a fifth column being their visibility; a detector,
            called with (H, W, 3) uint8 pictures; or "auto" for the model's own search, which takes a second or more.
            None for whole images. Items without a face stay as they are, or are an error: `augment.on_missing`.
        relabel: function from a moved item and its parameters to the item to use; for labels that come from the clip.
            None keeps all labels.
        is_synthetic: whether items have a flag for motion: dicts get "is_synthetic", and tuples and lists a further
            last value, True or False.
    """

    def __init__(
        self,
        dataset: MapDataset,
        augment: MotionAugment,
        *,
        copies: int = 1,
        originals: bool = False,
        which: Path | list[Path] | None = None,
        masks: Paths = (),
        boxes: Paths = (),
        points: Paths = (),
        keys: Sequence[Key] | None = None,
        faces: FacesField = None,
        relabel: Relabel | None = None,
        is_synthetic: bool = False,
    ) -> None:
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise ArgumentError(
                f"dataset must have __len__ and __getitem__, got {type(dataset).__name__}; wrap the DataLoader of an "
                "IterableDataset in MotionLoader"
            )
        check_augment(augment)
        if keys is not None and len(keys) != len(dataset):
            raise ArgumentError(f"{len(keys)} keys for {len(dataset)} items; give one key for each item")
        self.dataset = dataset
        self.augment = augment
        self.copies = whole("copies", copies, 1)
        self.originals = originals
        self.keys = keys
        self.relabel = relabel
        self.is_synthetic = is_synthetic
        self._fields = BatchFields(which, masks, boxes, points, faces=faces)
        # In shared memory, so that workers which outlive an epoch see the next one begin.
        self._epoch = torch.tensor(0).share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self.dataset) * self._per_item

    def __getitem__(self, index: int) -> Any:
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"the dataset has {len(self)} items, got index {index}")
        item = self.dataset[index % len(self) // self._per_item]
        param = self.params(index) if self.augment.training else None
        if param is None or param.skipped:
            return self._marked(item, moved=False)
        moved, settled = move_item(self.augment, item, self._fields, param)
        if settled.skipped:
            return self._marked(item, moved=False)  # It has no face.
        return self._marked(moved if self.relabel is None else self.relabel(moved, settled), moved=True)

    @property
    def epoch(self) -> int:
        """Number of the pass over the data, see `set_epoch`."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the pass over the data, also for workers that are running already."""
        self._epoch.fill_(whole("epoch", epoch))

    def params(self, index: int) -> MotionParams | None:
        """Return the draw of an item, in every mode of the augmentation; None for originals."""
        number, copy = divmod(index % len(self), self._per_item)
        copy -= int(self.originals)
        if copy < 0:
            return None
        key = number if self.keys is None else self.keys[number]
        return self.augment.draw([key], copies=copy + 1, epoch=self.epoch)[copy]

    def _marked(self, item: Any, *, moved: bool) -> Any:
        return add_at(item, IS_SYNTHETIC, moved) if self.is_synthetic else item

    @property
    def _per_item(self) -> int:
        return self.copies + int(self.originals)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        epoch: Tensor = self._epoch
        self._epoch = epoch.share_memory_()  # type: ignore[no-untyped-call]
