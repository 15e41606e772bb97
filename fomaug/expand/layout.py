"""Names and division of archives, so that loaders find the samples in an output folder and nothing else.

Hugging Face datasets takes every file of a folder for data unless files are named after splits. So archives of a
dataset without splits are called train, and the files beside them (manifest, summary) are ignored. Its reader of tar
files takes the columns of the first samples for those of all, so a tar file holds pictures of one format.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from fomaug.expand.plan import ExpandPlan
from fomaug.expand.sources import SourceFile
from fomaug.media import written_format

ShardKey = tuple[str, int, str]  # split; rank and name of the image format


def shard_name(split: str, number: int) -> str:
    """Return the name of an archive without its suffix.

    >>> shard_name("val", 2), shard_name("", 0)
    ('val/00002', 'train-00000')
    """
    return f"{split}/{number:05d}" if split else f"train-{number:05d}"


def shard_keys(plan: ExpandPlan, sources: Iterable[SourceFile]) -> Callable[[SourceFile], ShardKey]:
    """Make the function that tells which copies may share an archive: those whose sources have equal keys.

    Keys are sorted by split, and then by the number of sources with the image format, the most frequent one first.
    """
    if plan.format != "webdataset" or plan.image_format != "same":
        return lambda source: (source.split, 0, "")
    counts = Counter(map(_format_of, sources))
    ranks = {name: rank for rank, (name, _) in enumerate(sorted(counts.items(), key=lambda item: (-item[1], item[0])))}
    return lambda source: (source.split, ranks[_format_of(source)], _format_of(source))


def _format_of(source: SourceFile) -> str:
    return written_format(PurePosixPath(source.key).suffix)
