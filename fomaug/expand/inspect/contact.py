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
    """Show some sources, spread over the dataset, with up to `most` copies each.

    A sheet of nothing but pictures that stayed as they are gets no mark. What cannot be read any more, such as a source
    that was deleted in the meantime, is left out: the copies are written, and the sheet is no reason to end the job.

    Returns:
        The file, None if there is nothing to show; and what was left out.
    """
    paths = {source.key: source.path for source in sources}
    chosen = set(_spread(list(paths), most))
    groups = groupby((row for row in rows if row["source"] in chosen), lambda row: str(row["source"]))
    copies = {key: list(group)[:most] for key, group in groups}
    shown = [row for group in copies.values() for row in group]
    members = [row for row in shown if "member" in row]
    contents = dict(zip(map(_place, members), load_outputs(out, members), strict=True))
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
    """Choose keys at even distances, one of each class before a second of any."""
    seen: dict[str, int] = {}
    order = []
    for place, key in enumerate(keys):
        folder = str(PurePosixPath(key).parent)
        order.append((seen.get(folder, 0), place))
        seen[folder] = seen.get(folder, 0) + 1
    first = sorted(place for round_, place in order if round_ == 0)
    if len(first) < most:
        first = [place for _, place in sorted(order)][: max(most, len(first))]
    step = max(1.0, len(first) / most)
    return [keys[first[int(number * step)]] for number in range(min(most, len(first)))]


def _place(row: Row) -> tuple[str, str]:
    return row["file"], row["member"]


def _read(out: Path, row: Row, contents: Mapping[tuple[str, str], bytes]) -> NDArray[np.uint8]:
    if "member" in row:
        return decode_picture(contents[_place(row)], PurePosixPath(row["member"]).suffix).eight_bits
    try:
        return read_picture(out / row["file"]).eight_bits
    except MediaError as cause:
        raise MediaError(f"its copy {row['file']} {cause}") from cause
