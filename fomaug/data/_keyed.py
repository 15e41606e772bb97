"""Batches that know the dataset index of each of their images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from torch.utils.data import DataLoader, Dataset, IterableDataset

Keyed = tuple[Any, list[int] | None]


class KeyedBatches:
    """A loader's batches, each with the dataset indices of its items where they can be known.

    They can for a plain `DataLoader` that batches a map-style dataset: a twin of it is iterated, with the same sampler,
    workers and settings, whose items carry their index along.
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self._loader = loader
        self._twin = _twin(loader) if type(loader) is DataLoader and _tells_indices(loader) else None

    def __iter__(self) -> Iterator[Keyed]:
        # Not a generator: workers are to be started here, by the caller's thread.
        return zip(self._loader, repeat(None)) if self._twin is None else iter(self._twin)


def _tells_indices(loader: DataLoader[Any]) -> bool:
    return not isinstance(loader.dataset, IterableDataset) and loader.batch_sampler is not None


@dataclass(frozen=True)
class _Indexed(Dataset[Any]):
    dataset: Any

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[int, Any]:
        return index, self.dataset[index]

    def __getitems__(self, indices: list[int]) -> list[tuple[int, Any]]:
        """Fetch a batch in one go from datasets that can."""
        if not hasattr(self.dataset, "__getitems__"):
            return [self[index] for index in indices]
        return list(zip(indices, self.dataset.__getitems__(indices), strict=True))


@dataclass(frozen=True)
class _CollateIndexed:
    collate_fn: Callable[[list[Any]], Any]

    def __call__(self, pairs: list[tuple[int, Any]]) -> Keyed:
        return self.collate_fn([item for _, item in pairs]), [index for index, _ in pairs]


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
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=loader.generator,
        **options,
    )
