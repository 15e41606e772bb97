"""The contact sheet of an expanded dataset: rows are sources, columns their copies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomaug.expand._ledger import Row
from fomaug.expand._make import join_channels
from fomaug.expand._read import Picture, decode_picture, read_picture
from fomaug.expand._sinks import load_output
from fomaug.expand._sources import SourceFile
from fomaug.writers import Provenance, contact_sheet, save_image

CONTACT_SHEET: Final = "contact_sheet.png"


def save_contact_sheet(
    out: Path, rows: Iterable[Row], sources: Sequence[SourceFile], provenance: Provenance, *, most: int = 12
) -> Path | None:
    """Show some sources, spread over the dataset, with up to `most` copies each; None if there is no copy."""
    paths = {source.key: source.path for source in sources}
    chosen = set(_spread(list(paths), most))
    pictures = []
    for key, group in groupby((row for row in rows if row["source"] in chosen), lambda row: str(row["source"])):
        copies = list(group)[:most]
        pictures.append([_thumbnail(_source(paths[key])), *(_thumbnail(_output(out, row)) for row in copies)])
    if not pictures:
        return None
    return save_image(out / CONTACT_SHEET, contact_sheet(pictures), provenance=provenance)


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


def _source(path: Path) -> Picture:
    return read_picture(path)


def _output(out: Path, row: dict[str, Any]) -> Picture:
    return decode_picture(load_output(out, row), PurePosixPath(row.get("member", row["file"])).suffix)


def _thumbnail(picture: Picture) -> NDArray[np.uint8]:
    array = join_channels(picture)
    return (array >> 8).astype(np.uint8) if array.dtype == np.uint16 else array.astype(np.uint8)
