"""Batches together with the dataset index of each of their images."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from fomaug.motion import Key

Keyed = tuple[Any, list[Key] | None]


class KeyedBatches:
    """A loader's batches, each with the dataset indices of its items where they can be known.

    They are known for a plain `DataLoader` that batches a map-style dataset: a twin of it is iterated, with the same
    sampler, workers and settings, which carries the indices along. Its workers see the dataset as it was given.
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
    """Turn NumPy's and torch's integers into Python's, so that equal indices have equal names."""
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
