"""The contact sheet of an expanded dataset: rows are sources, columns their copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import MediaError
from fomaug.expand.formats import load_outputs
from fomaug.expand.manifest import Row, is_still
from fomaug.expand.report import Failure
from fomaug.expand.sources import SourceFile
from fomaug.media import Picture, Provenance, contact_sheet, decode_picture, read_picture, save_image, thumbnail

CONTACT_SHEET: Final = ".contact_sheet.png"  # hidden, since loaders take every picture for a sample
MOST: Final = 12  # sources, and copies of each

_CELL: Final = 128  # side of a picture on the sheet
_LEAST_SIDE: Final = 3 * _CELL  # of a reduced JPEG: the thumbnail then looks as if it were made from all pixels


def save_contact_sheet(
    out: Path, copies: Mapping[str, Sequence[Row]], sources: Sequence[SourceFile], provenance: Provenance
) -> tuple[Path | None, list[Failure]]:
    """Save an image of some sources and their copies; pictures are decoded one by one, and kept as thumbnails.

    A sheet of unchanged copies only has no provenance mark. Sources and copies that cannot be read, such as deleted
    ones, are left out.

    Args:
        out: folder of the expanded dataset.
        copies: rows of the copies to show, by the key of their source, see `choose_sources`.
        sources: source files.
        provenance: provenance mark of the sheet.

    Returns:
        The path of the sheet, None for an empty one; and the sources that were left out.
    """
    paths = {source.key: source.path for source in sources if source.key in copies}
    pictures: list[list[NDArray[np.uint8]]] = []
    unshown: list[Failure] = []
    for key, rows in copies.items():
        if not rows:
            continue
        try:
            source = _reduce(read_picture(paths[key], least_side=_LEAST_SIDE))
            pictures.append([source, *_read_copies(out, rows)])
        except MediaError as cause:
            unshown.append(Failure(key, f"its copies are written, but it is not on the contact sheet: {cause}"))
    if not pictures:
        return None, unshown
    mark = None if all(is_still(row) for rows in copies.values() for row in rows) else provenance
    return save_image(out / CONTACT_SHEET, contact_sheet(pictures, cell=_CELL), provenance=mark), unshown


def choose_sources(keys: Sequence[str], most: int = MOST) -> list[str]:
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


def _read_copies(out: Path, rows: Sequence[Row]) -> list[NDArray[np.uint8]]:
    """Read the copies of one source as thumbnails; every archive is opened once."""
    members = [row for row in rows if "member" in row]
    contents = dict(zip(map(_member, members), load_outputs(out, members), strict=True))
    return [_reduce(_read(out, row, contents)) for row in rows]


def _reduce(picture: Picture) -> NDArray[np.uint8]:
    return thumbnail(picture.eight_bits, _CELL)


def _member(row: Row) -> tuple[str, str]:
    return row["file"], row["member"]


def _read(out: Path, row: Row, contents: Mapping[tuple[str, str], bytes]) -> Picture:
    if "member" in row:
        return decode_picture(contents[_member(row)], PurePosixPath(row["member"]).suffix, least_side=_LEAST_SIDE)
    try:
        return read_picture(out / row["file"], least_side=_LEAST_SIDE)
    except MediaError as cause:
        raise MediaError(f"its copy {row['file']} {cause}") from cause
