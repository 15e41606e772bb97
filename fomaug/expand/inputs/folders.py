"""Read labels and splits from the folder names of a dataset."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence

from fomaug.expand.sources import SPLITS


def named_by_folders(keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield label and split of each picture by its path below the dataset.

    Args:
        keys: paths with slashes.
    """
    divided = _is_divided(keys)
    for key in keys:
        top, _, rest = key.partition("/")
        split = SPLITS.get(top.lower(), "") if divided and rest else ""
        if split:
            top, _, rest = rest.partition("/")
        yield sys.intern(top) if rest else "", split


def _is_divided(keys: Iterable[str]) -> bool:
    """Return whether top folders are splits: one is named train, or all of them have names of splits.

    Beside a train folder, every folder with the name of a split is a split, whatever the other folders are, so that
    test images stay test images. Without a train folder, a folder named dev among others is a class.
    """
    tops = {top.lower() for top, slash, _ in (key.partition("/") for key in keys) if slash}
    splits = {SPLITS.get(top, "") for top in tops}
    return "train" in splits or (bool(splits) and "" not in splits)
