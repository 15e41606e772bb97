"""The contact sheet of an expanded dataset: rows are sources, columns their copies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import MediaError
from fomaug.expand.formats import load_outputs
from fomaug.expand.manifest import Row, is_still
from fomaug.expand.report import Failure
from fomaug.expand.sources import SourceFile
from fomaug.media import Provenance, contact_sheet, decode_picture, read_picture, save_image

CONTACT_SHEET: Final = "contact_sheet.png"


def save_contact_sheet(
    out: Path, rows: Iterable[Row], sources: Sequence[SourceFile], provenance: Provenance, *, most: int = 12
) -> tuple[Path | None, list[Failure]]:
    """Save an image of some sources and their copies.

    A sheet of unchanged copies only has no provenance mark. Sources and copies that cannot be read, such as deleted
    ones, are left out.

    Args:
        out: folder of the expanded dataset.
        rows: rows of the manifest.
        sources: source files.
        provenance: provenance mark of the sheet.
        most: largest number of sources, and of copies of each.

    Returns:
        The path of the sheet, None for an empty one; and the sources that were left out.
    """
    paths = {source.key: source.path for source in sources}
    chosen = set(_spread(list(paths), most))
    groups = groupby((row for row in rows if row["source"] in chosen), lambda row: str(row["source"]))
    copies = {key: list(group)[:most] for key, group in groups}
    shown = [row for group in copies.values() for row in group]
    members = [row for row in shown if "member" in row]
    contents = dict(zip(map(_member, members), load_outputs(out, members), strict=True))
    pictures: list[list[NDArray[np.uint8]]] = []
    unshown: list[Failure] = []
    for key, group in copies.items():
        try:
            pictures.append([read_picture(paths[key]).eight_bits, *(_read(out, row, contents) for row in group)])
        except MediaError as cause:
            unshown.append(Failure(key, f"its copies are written, but it is not on the contact sheet: {cause}"))
    if not pictures:
        return None, unshown
    mark = None if all(map(is_still, shown)) else provenance
    return save_image(out / CONTACT_SHEET, contact_sheet(pictures), provenance=mark), unshown


def _spread(keys: Sequence[str], most: int) -> list[str]:
    """Choose keys at even distances; every class has one key before any class has two."""
    seen: dict[str, int] = {}
    order = []
    for index, key in enumerate(keys):
        folder = str(PurePosixPath(key).parent)
        order.append((seen.get(folder, 0), index))
        seen[folder] = seen.get(folder, 0) + 1
    first = sorted(index for round_, index in order if round_ == 0)
    if len(first) < most:
        first = [index for _, index in sorted(order)][: max(most, len(first))]
    step = max(1.0, len(first) / most)
    return [keys[first[int(number * step)]] for number in range(min(most, len(first)))]


def _member(row: Row) -> tuple[str, str]:
    return row["file"], row["member"]


def _read(out: Path, row: Row, contents: Mapping[tuple[str, str], bytes]) -> NDArray[np.uint8]:
    if "member" in row:
        return decode_picture(contents[_member(row)], PurePosixPath(row["member"]).suffix).eight_bits
    try:
        return read_picture(out / row["file"]).eight_bits
    except MediaError as cause:
        raise MediaError(f"its copy {row['file']} {cause}") from cause
