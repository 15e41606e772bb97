"""What the copies of each source are called: unique on every file system, and never outside of the output folder."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from fomaug.errors import ArgumentError
from fomaug.expand.sources import SourceFile
from fomaug.media import sidecar_of

_SUFFIXES: Final = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tif", "bmp": ".bmp"}
_LONGEST: Final = 255  # bytes of a name, on all common file systems


def unique_stems(sources: Iterable[SourceFile], *, merged: bool = False, dotless: bool = False) -> dict[str, str]:
    """Give each source, by its key, the stem of its copies.

    The stem of the file, unless another file of the folder has it, too, but for its suffix, its capitals or how its
    accents are encoded: then the suffix and a number tell them apart.

    Args:
        sources: in the order in which they may choose.
        merged: copies of several classes may come to lie in one folder.
        dotless: write dots as dashes, for archives in which the first dot ends a name.
    """
    taken: set[str] = set()
    stems: dict[str, str] = {}
    for source in sources:
        path = PurePosixPath(source.key)
        folder = PurePosixPath(source.split_folder) / source.folder if merged else path.parent
        base = path.stem.replace(".", "-") if dotless else path.stem
        stem, number = base, 1
        while (place := fold(str(folder / stem))) in taken:
            number += 1
            plain = f"{base}-{path.suffix[1:].lower()}"
            stem = plain if number == 2 else f"{plain}-{number}"
        taken.add(place)
        stems[source.key] = stem
    return stems


def fold(name: str) -> str:
    """Bring names that some file system takes for the same to the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def copy_name(source: SourceFile, stem: str, copy: int, label: str, encode_format: str) -> str:
    """Name a copy: split, class and folders as in the dataset, `stem_m000.suffix`; with slashes.

    A stem that would make the name longer than a file system takes is cut, and a short hash of it put behind.
    """
    parts = [part for part in (source.split_folder, label) if part]
    ending = f"_m{copy:03d}{_SUFFIXES[encode_format]}"
    longest = sidecar_of(Path(ending)).name if encode_format == "bmp" else ending
    fitting = _cut(stem, _LONGEST - len(longest))
    return str(PurePosixPath(*parts) / source.folder / f"{fitting}{ending}")


def _cut(stem: str, size: int) -> str:
    """Shorten a stem to a number of bytes, between two characters; other stems stay other ones."""
    if len(os.fsencode(stem)) <= size:
        return stem
    mark = f"-{hashlib.sha256(os.fsencode(stem)).hexdigest()[:12]}"
    kept = stem[:size]
    while len(os.fsencode(kept)) > size - len(mark):
        kept = kept[:-1]
    return kept + mark


def place_inside(out: Path, name: str) -> Path:
    """Turn a name into a path below `out`.

    Raises:
        ArgumentError: if it would lie elsewhere: an absolute name, `..`, or a link that leads away.
    """
    pure = PurePosixPath(name)
    path = out / pure
    leaves = pure.is_absolute() or ".." in pure.parts or Path(name).drive
    if leaves or not path.parent.resolve().is_relative_to(out.resolve()):
        raise ArgumentError(f"{name!r} would be written outside of {out}; nothing was")
    return path


def check_label(label: str) -> str:
    """Return a label that can name a folder.

    Raises:
        ArgumentError: if it cannot.
    """
    if label in (".", "..") or any(sign in label for sign in "/\\\0:"):
        raise ArgumentError(f"label {label!r} cannot name a folder; map it to another with labels")
    return label
