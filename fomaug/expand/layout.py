"""Names and division of archives, so that loaders find the samples in an output folder and nothing else.

Hugging Face datasets takes every file of a folder for data unless files are named after splits. So archives of a
dataset without splits are called train, and the files beside them (manifest, summary) are ignored. Its reader of tar
files takes the members of the first samples for those of all, so a tar file holds pictures of one format.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

from fomaug.expand.plan import ExpandPlan
from fomaug.expand.sources import SourceFile
from fomaug.media import written_format


class ShardKey(NamedTuple):
    """What the pictures of an archive have in common; keys are sorted as the archives are.

    Attributes:
        split: split; empty without splits.
        rank: position of the format among all formats, the most frequent one first.
        format: image format; empty where archives may hold several.
    """

    split: str
    rank: int = 0
    format: str = ""


def shard_name(split: str, number: int, *, divided: bool = False, originals: bool = False) -> str:
    """Return the name of an archive without its suffix.

    Args:
        split: split of its pictures; empty for none.
        number: number of the archive in its split.
        divided: whether other pictures of the dataset are in splits.
        originals: True for an archive of originals, which holds no copies.

    >>> shard_name("val", 2), shard_name("", 0), shard_name("", 0, divided=True)
    ('val/00002', 'train-00000', 'unsplit-00000')
    >>> shard_name("val", 2, originals=True), shard_name("", 0, originals=True)
    ('val/originals-00002', 'train-originals-00000')
    """
    name = f"originals-{number:05d}" if originals else f"{number:05d}"
    if split:
        return f"{split}/{name}"
    return f"{'unsplit' if divided else 'train'}-{name}"


def shard_keys(plan: ExpandPlan, sources: Iterable[SourceFile]) -> Callable[[SourceFile], ShardKey]:
    """Make the function that tells which copies may share an archive: those whose sources have equal keys."""
    if plan.format != "webdataset" or plan.image_format != "same":
        return lambda source: ShardKey(source.split)
    counts = Counter(map(_format_of, sources))
    ranks = {name: rank for rank, (name, _) in enumerate(sorted(counts.items(), key=lambda item: (-item[1], item[0])))}
    return lambda source: ShardKey(source.split, ranks[_format_of(source)], _format_of(source))


def _format_of(source: SourceFile) -> str:
    return written_format(PurePosixPath(source.key).suffix)
