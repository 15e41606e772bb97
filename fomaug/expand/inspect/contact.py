"""The contact sheet of an expanded dataset: rows are sources, columns their copies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Final

from fomaug.expand.formats import load_outputs
from fomaug.expand.manifest import Row, is_still
from fomaug.expand.sources import SourceFile
from fomaug.media import Picture, Provenance, contact_sheet, decode_picture, read_picture, save_image

CONTACT_SHEET: Final = "contact_sheet.png"


def save_contact_sheet(
    out: Path, rows: Iterable[Row], sources: Sequence[SourceFile], provenance: Provenance, *, most: int = 12
) -> Path | None:
    """Save an image of some sources and their copies; return its path, or None without copies.

    A sheet of unchanged copies only has no provenance mark.

    Args:
        out: folder of the expanded dataset.
        rows: rows of the manifest.
        sources: source files.
        provenance: provenance mark of the sheet.
        most: largest number of sources, and of copies of each.
    """
    paths = {source.key: source.path for source in sources}
    chosen = set(_spread(list(paths), most))
    groups = groupby((row for row in rows if row["source"] in chosen), lambda row: str(row["source"]))
    copies = {key: list(group)[:most] for key, group in groups}
    if not copies:
        return None
    shown = [row for group in copies.values() for row in group]
    contents = iter(load_outputs(out, shown))
    pictures = [
        [read_picture(paths[key]).eight_bits, *(_decode(next(contents), row).eight_bits for row in group)]
        for key, group in copies.items()
    ]
    mark = None if all(map(is_still, shown)) else provenance
    return save_image(out / CONTACT_SHEET, contact_sheet(pictures), provenance=mark)


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


def _decode(content: bytes, row: Row) -> Picture:
    return decode_picture(content, PurePosixPath(row["member"] if "member" in row else row["file"]).suffix)
