"""The contact sheet of an expanded dataset: rows are sources, columns their copies."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import MediaError, reason_of
from fomaug.expand.formats import load_outputs
from fomaug.expand.manifest import Row, is_still
from fomaug.expand.output import CONTACT_SHEET, THUMBNAILS
from fomaug.expand.report import Failure
from fomaug.expand.samples import CELL, MOST_SHOWN, thumbnail_name, thumbnail_of
from fomaug.expand.sources import SourceFile
from fomaug.files import PICTURE, read_regular
from fomaug.media import Provenance, contact_sheet, read_picture, save_image


def save_contact_sheet(
    out: Path,
    copies: Mapping[str, Sequence[Row]],
    sources: Sequence[SourceFile],
    provenance: Provenance,
    *,
    url: str = "",
) -> tuple[Path | None, list[Failure]]:
    """Save an image of some sources and their copies; pictures are decoded one by one, and only thumbnails are kept.

    A sheet with only unchanged copies has no provenance mark. Sources and copies that cannot be read, such as deleted
    ones, are left out.

    Args:
        out: folder of the expanded dataset.
        copies: rows of the copies to show, by the key of their source, see `choose_sources`.
        sources: source files.
        provenance: provenance mark of the sheet.
        url: URL of the archives, if they are not in the folder.

    Returns:
        The path of the sheet, None for an empty one; and the sources that were left out.
    """
    originals = {source.key: source for source in sources if source.key in copies}
    pictures: list[list[NDArray[np.uint8]]] = []
    unshown: list[Failure] = []
    for key, rows in copies.items():
        if not rows:
            continue
        try:
            source = _read_source(originals[key])
            pictures.append([source, *_read_copies(out, url, rows)])
        except MediaError as cause:
            unshown.append(Failure(key, f"its copies are written, but it is not on the contact sheet: {cause}"))
    if not pictures:
        return None, unshown
    mark = None if all(is_still(row) for rows in copies.values() for row in rows) else provenance
    return save_image(out / CONTACT_SHEET, contact_sheet(pictures, cell=CELL), provenance=mark), unshown


def choose_sources(keys: Sequence[str], most: int = MOST_SHOWN) -> list[str]:
    """Choose keys at even distances; every class has one key before any class has two."""
    seen: dict[str, int] = {}
    order = []
    for index, key in enumerate(keys):
        folder = key.rpartition("/")[0]
        order.append((seen.get(folder, 0), index))
        seen[folder] = seen.get(folder, 0) + 1
    first = sorted(index for round_, index in order if round_ == 0)
    if len(first) < most:
        first = [index for _, index in sorted(order)][: max(most, len(first))]
    step = max(1.0, len(first) / most)
    return [keys[first[int(number * step)]] for number in range(min(most, len(first)))]


def _read_source(source: SourceFile) -> NDArray[np.uint8]:
    try:
        content = source.read()
    except OSError as cause:
        raise MediaError(f"cannot be read: {reason_of(cause)}") from cause
    return thumbnail_of(content, source.key)


def _read_copies(out: Path, url: str, rows: Sequence[Row]) -> list[NDArray[np.uint8]]:
    """Return the thumbnails of copies: those that were kept, and those of files; every archive is opened once."""
    kept = [kept_thumbnail(out, row) for row in rows]
    members = [row for row, found in zip(rows, kept, strict=True) if found is None and "member" in row]
    contents = dict(zip(map(_member, members), load_outputs(url or out, members), strict=True))
    return [_read(out, row, contents) if found is None else found for row, found in zip(rows, kept, strict=True)]


def _member(row: Row) -> tuple[str, str]:
    return row["file"], row["member"]


def _read(out: Path, row: Row, contents: Mapping[tuple[str, str], bytes]) -> NDArray[np.uint8]:
    if "member" in row:
        return thumbnail_of(contents[_member(row)], row["member"])
    try:
        return thumbnail_of(read_regular(out / row["file"], PICTURE), row["file"])
    except (MediaError, OSError) as cause:
        reason = str(cause) if isinstance(cause, MediaError) else f"cannot be read: {reason_of(cause)}"
        raise MediaError(f"its copy {row['file']} {reason}") from cause


def kept_thumbnail(out: Path, row: Row) -> NDArray[np.uint8] | None:
    """Return the thumbnail of a copy; None if it was not kept, or is damaged."""
    path = out / thumbnail_name(row)
    try:
        return read_picture(path).rgb if path.is_file() else None
    except MediaError:
        return None


def remove_thumbnails(out: Path) -> None:
    """Remove the thumbnails of a job that has its sheet."""
    shutil.rmtree(out / THUMBNAILS, ignore_errors=True)
