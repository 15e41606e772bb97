"""The list of sources that a job began with: it can be resumed when some of them are no longer there.

How the work is cut and what copies are called depends on all sources. Without the list, one source that was deleted
after its copies were made would keep the job from being resumed for ever.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

from fomaug import files
from fomaug.errors import ResumeError, UnsafeFileError
from fomaug.expand.sources import SourceFile
from fomaug.files import read_text, write_file

SOURCES: Final = "sources.jsonl"


def keep_sources(out: Path, sources: Sequence[SourceFile]) -> None:
    """Write the list, unless it is there already."""
    if not (out / SOURCES).exists():
        lines = (json.dumps([source.key, source.label, source.split, source.num_bytes]) for source in sources)
        write_file(out / SOURCES, "".join(f"{line}\n" for line in lines).encode(), durable=True)


def with_missing(sources: Sequence[SourceFile], dataset: Path, out: Path) -> list[SourceFile]:
    """Add the sources that a job began with and that are no longer there; they fail like all that cannot be read.

    Where others are new, the sources stay as they are found: that is another dataset, which the settings will say.

    Raises:
        ResumeError: the list is damaged.
    """
    began = list(_read(dataset, out / SOURCES)) if (out / SOURCES).exists() else []
    found = {source.key for source in sources}
    missing = [source for source in began if source.key not in found and not source.path.exists()]
    if not missing or len(began) != len(found) + len(missing):
        return list(sources)
    return sorted([*sources, *missing], key=lambda source: source.key)


def _read(dataset: Path, path: Path) -> Iterator[SourceFile]:
    try:
        for line in read_text(path, files.MANIFEST).splitlines():
            yield _source(dataset, *json.loads(line))
    except UnsafeFileError as cause:
        raise ResumeError(str(cause)) from cause
    except (ValueError, TypeError, RecursionError) as cause:
        raise ResumeError(f"{path} is damaged; remove it, and resume") from cause


def _source(dataset: Path, key: Any, label: Any, split: Any, num_bytes: Any) -> SourceFile:
    if not all(isinstance(word, str) for word in (key, label, split)) or type(num_bytes) is not int:
        raise ValueError("a source has a key, a label, a split and a size")
    if PurePosixPath(key).is_absolute() or ".." in PurePosixPath(key).parts:
        raise ValueError("a key is a path below the dataset")
    return SourceFile(dataset / key, key, label, split, num_bytes)
