"""Suffixes of files that can be written."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from fomaug.errors import ArgumentError, did_you_mean


def check_suffix(path: Path, known: Collection[str]) -> str:
    """Return a path's suffix in small letters.

    Raises:
        ArgumentError: it is none of the known ones; says which they are, and the nearest.
    """
    suffix = path.suffix.lower()
    if suffix not in known:
        hint = did_you_mean(suffix, known)
        raise ArgumentError(f"cannot write {path.name!r}: its suffix must be one of {', '.join(known)}{hint}")
    return suffix
