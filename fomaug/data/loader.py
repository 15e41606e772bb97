"""`MotionLoader`: animate the batches of any loader, one batch ahead of the training step."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from fomaug.augment import MotionAugment, counted_keys
from fomaug.data.ahead import work_ahead
from fomaug.data.batch import IS_SYNTHETIC, BatchFields, FacesField, Paths, check_augment, move_batch
from fomaug.data.paths import Path, add_at, to_device
from fomaug.errors import ArgumentError
from fomaug.motion import Key, MotionParams
from fomaug.options import whole

Keyed = tuple[Any, list[Key] | None]


class KeyedBatches:
    """A loader's batches, each with the dataset indices of its items where they can be known.

    They are known for a plain `DataLoader` that batches a map-style dataset. A copy of it with the same sampler,
    workers and settings is iterated, which also returns the indices. Its workers have the given dataset.
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self._loader = loader
        self._twin = _twin(loader) if type(loader) is DataLoader and _has_indices(loader) else None

    def __iter__(self) -> Iterator[Keyed]:
        # Not a generator, so that workers start here, in the caller's thread.
        return zip(self._loader, repeat(None)) if self._twin is None else iter(self._twin)


def name_of(index: Any) -> Key:
    """Name an image by the index that its sampler drew: a number, a name, or a tuple of these.

    >>> name_of(3), name_of((3, "left"))
    (3, "(3, 'left')")
    """
    return str(_plain(index)) if isinstance(index, tuple) else _plain(index)


def _plain(index: Any) -> Any:
    """Convert integers of NumPy and torch to those of Python, so that equal indices have equal names."""
    if isinstance(index, tuple):
        return tuple(_plain(part) for part in index)
    try:
        return operator.index(index)
    except TypeError:
        return index


def _has_indices(loader: DataLoader[Any]) -> bool:
    return not isinstance(loader.dataset, IterableDataset) and loader.batch_sampler is not None


@dataclass(frozen=True)
class _Indexed(Dataset[Any]):
    dataset: Any

    def __getitems__(self, indices: list[Any]) -> tuple[list[Any], Any]:
        """Fetch a batch as a DataLoader does: by one call from datasets that have `__getitems__`."""
        fetch = getattr(self.dataset, "__getitems__", None)
        return indices, fetch(indices) if fetch else [self.dataset[index] for index in indices]


@dataclass(frozen=True)
class _CollateIndexed:
    collate_fn: Callable[[Any], Any]

    def __call__(self, fetched: Any) -> Keyed:
        indices, items = fetched
        return self.collate_fn(items), [name_of(index) for index in indices]


@dataclass(frozen=True)
class _BeginWorker:
    worker_init_fn: Callable[[int], None] | None

    def __call__(self, worker: int) -> None:
        info = get_worker_info()
        assert info is not None
        # The info is frozen; but code that reads it, to open a file or to take a share, needs the given dataset.
        object.__setattr__(info, "dataset", info.dataset.dataset)  # type: ignore[attr-defined]
        if self.worker_init_fn is not None:
            self.worker_init_fn(worker)


def _twin(loader: DataLoader[Any]) -> DataLoader[Any]:
    options: dict[str, Any] = {}
    if loader.num_workers:
        options = {"prefetch_factor": loader.prefetch_factor, "persistent_workers": loader.persistent_workers}
    if hasattr(loader, "in_order"):
        options["in_order"] = loader.in_order
    return DataLoader(
        _Indexed(loader.dataset),
        batch_sampler=loader.batch_sampler,
        num_workers=loader.num_workers,
        collate_fn=_CollateIndexed(loader.collate_fn),
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=_BeginWorker(loader.worker_init_fn),
        multiprocessing_context=loader.multiprocessing_context,
        generator=loader.generator,
        **options,
    )


Log = Callable[[list[MotionParams]], None]
Relabel = Callable[[Any, list[MotionParams]], Any]


class Loader(Protocol):
    """Any iterable of batches that can be iterated again for the next pass."""

    def __iter__(self) -> Iterator[Any]: ...


class MotionLoader:
    """Wrap a loader: during the training step on one batch, the next is animated, on a separate CUDA stream.

    Batches keep their structure: dicts, lists, tuples, named tuples, dataclasses. They arrive on the model's device, or
    on `device`. After `augment.eval()` nothing moves.

    Each pass is an epoch with draws of its own; `set_epoch` sets its number. An image is named by its dataset index, so
    that draws depend neither on the batch size nor on workers, order or rank. Where the index is unknown (iterable
    datasets, loaders of other libraries, subclasses of DataLoader), images are counted, by each rank on its own, unless
    `keys` is the path of their names in the batch. If a name occurs several times in a pass, as with a sampler with
    replacement, it draws copy 0 the first time, then copy 1, and so on, separately on each rank.

    Args:
        loader: iterable of batches, for example a DataLoader.
        augment: augmentation of the batches.
        which: path of the image in the batch, or list of the paths of several that move alike; None for the first value
            of a tuple, or the value named "image".
        masks: paths of (B, H, W), (B, C, H, W) or (B, H, W, C) masks, or of one mask for each image.
        boxes: paths of (B, M, 4) pixel boxes, or of one (M, 4) for each image.
        points: paths of (B, M, 2) pixel points, or (B, M, 3) with visibility; or of one (M, 2 or 3) for each image.
        keys: path of the names of the images.
        faces: path of the boxes of the faces that move, as for `boxes`, a fifth column being their visibility; a
            detector, called with (H, W, 3) uint8 pictures; or "auto" for the model's own search, which takes a second
            or more. None for whole images. Images without a face stay as they are, or are an error:
            `augment.on_missing`.
        device: device on which batches arrive; None for the model's device.
        relabel: function from a moved batch and its parameters to the batch to use; for labels that come from the clip.
            None keeps all labels.
        log: function that is called with the parameters of every batch, in order, when the batch is returned.
        is_synthetic: whether batches have a flag for each image that moved: dicts get "is_synthetic", and tuples and
            lists a further last value, a (B,) bool tensor on the device of the batch.
    """

    def __init__(
        self,
        loader: Loader,
        augment: MotionAugment,
        *,
        which: Path | list[Path] | None = None,
        masks: Paths = (),
        boxes: Paths = (),
        points: Paths = (),
        keys: Path | None = None,
        faces: FacesField = None,
        device: torch.device | str | None = None,
        relabel: Relabel | None = None,
        log: Log | None = None,
        is_synthetic: bool = False,
    ) -> None:
        if not hasattr(loader, "__iter__") and not hasattr(loader, "__getitem__"):
            raise ArgumentError(f"loader must be an iterable of batches, got {type(loader).__name__}")
        check_augment(augment)
        if log is not None and not callable(log):
            raise ArgumentError(f"log must be a function of parameters, such as [].extend, got {type(log).__name__}")
        self.loader = loader
        self.augment = augment
        self.device = device
        self.relabel = relabel
        self.log = log
        self.is_synthetic = is_synthetic
        self.epoch = 0
        self._fields = BatchFields(which, masks, boxes, points, keys, faces)
        self._batches = KeyedBatches(loader)

    def __len__(self) -> int:
        return len(self.loader)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        return self._pass(iter(self._batches), epoch)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the wrapped loader: dataset, sampler, batch_size, ..."""
        if name.startswith("_") or name == "loader":
            raise AttributeError(name)
        return getattr(self.loader, name)

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the next pass, for the draws and for a `DistributedSampler`."""
        self.epoch = whole("epoch", epoch)
        for part in ("sampler", "batch_sampler", "dataset"):
            announce = getattr(getattr(self.loader, part, None), "set_epoch", None)
            if announce is not None:
                announce(epoch)

    def _pass(self, batches: Iterator[Keyed], epoch: int) -> Iterator[Any]:
        draws = _Draws(self.augment, self._fields, epoch)

        def work(keyed: Keyed) -> tuple[Any, list[MotionParams]]:
            batch = to_device(keyed[0], self.augment.device)
            if not self.augment.training:
                return self._deliver(self._marked(batch, [False] * self._count(batch))), []
            moved, settled = move_batch(self.augment, batch, self._fields, draws(*keyed))
            moved = moved if self.relabel is None else self.relabel(moved, settled)
            return self._deliver(self._marked(moved, [not param.skipped for param in settled])), settled

        for batch, params in work_ahead(batches, work, self.augment.device):
            if self.log is not None:
                self.log(params)
            yield batch

    def _count(self, batch: Any) -> int:
        return self._fields.count_images(batch) if self.is_synthetic else 0

    def _marked(self, batch: Any, moved: list[bool]) -> Any:
        if not self.is_synthetic:
            return batch
        return add_at(batch, IS_SYNTHETIC, torch.tensor(moved, device=self.augment.device))

    def _deliver(self, batch: Any) -> Any:
        return batch if self.device is None else to_device(batch, torch.device(self.device))


class _Draws:
    """The draws of one pass."""

    def __init__(self, augment: MotionAugment, fields: BatchFields, epoch: int) -> None:
        self.augment = augment
        self.fields = fields
        self.epoch = epoch
        self.count = 0
        self.seen: Counter[Key] = Counter()
        # Without a cache, an image that a sampler draws hundreds of times would draw all its copies each time.
        self.copies = lru_cache(maxsize=256)(self._copies)

    def __call__(self, batch: object, indices: list[Key] | None) -> list[MotionParams]:
        count = self.fields.count_images(batch)
        keys = self.fields.keys_in(batch) or indices
        if keys is None:
            keys = counted_keys(self.count, count)
            self.count += count
            return self.augment.draw(keys, epoch=self.epoch)
        if len(keys) != count:
            raise ArgumentError(
                f"a batch of {count} images was made from {len(keys)} items; set keys= to the "
                "path of the names in the batch"
            )
        return [self._next_copy(param) for param in self.augment.draw(keys, epoch=self.epoch)]

    def _next_copy(self, param: MotionParams) -> MotionParams:
        """Return the draw of a name for its first image, and that of the next copy for each further image."""
        copy = self.seen[param.key]
        self.seen[param.key] += 1
        return self.copies(param.key, 1 << copy.bit_length())[copy] if copy else param

    def _copies(self, key: Key, copies: int) -> list[MotionParams]:
        return self.augment.draw([key], copies=copies, epoch=self.epoch)
