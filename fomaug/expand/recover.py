"""Recovery after an earlier run: remove temporary files, and check the files of copies by their rows."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection
from pathlib import Path

from fomaug.expand.manifest import Row, is_still
from fomaug.files import is_temporary
from fomaug.media import sidecar_of

Companion = Callable[[Row], Path | None]


def remove_temporary(out: Path, kept: Collection[Path] = ()) -> None:
    """Remove the unfinished files of killed processes, except some; no other process may be writing."""
    for folder, _, names in os.walk(out):
        for name in names:
            if name.startswith(".") and is_temporary(Path(name)) and Path(folder, name) not in kept:
                Path(folder, name).unlink()


def is_written(out: Path, row: Row, companion: Companion | None = None) -> bool:
    """Return whether the file of a copy exists with its size, and its mark and annotation file exist.

    Args:
        out: output folder.
        row: row of a copy in a separate file.
        companion: function from a row to the path of the copy's annotation file, or None.
    """
    path = os.path.join(out, str(row["file"]))  # noqa: PTH118 - there may be millions of rows
    if _size(path) != row["bytes"]:
        return False
    mark = sidecar_of(Path(path)) if path.endswith(".bmp") and not is_still(row) else None
    others = [mark, companion(row) if companion else None]
    return all(other is None or _size(other) > 0 for other in others)


def _size(path: str | Path) -> int:
    """Return the size of a regular file, -1 if there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1
