"""Read rows from a batch of columns, as in data pipelines: pictures, keys, labels and annotations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageOps

from fomaug.errors import ArgumentError, FomaugError, LabelError, MediaError, ShapeError, did_you_mean, reason_of
from fomaug.files import PICTURE, read_regular
from fomaug.labels import FaceLabels, Flaw, read_plain
from fomaug.media import DAMAGE, encode_image
from fomaug.untrusted import load_json

INPUTS: Final = ("image", "key", "label", "annotation")
"""Columns that are read; the last two may be absent."""
_REQUIRED: Final = INPUTS[:2]


@dataclass(frozen=True, eq=False)
class BatchRow:
    """One source of a batch.

    Attributes:
        key: key of the source; the number of the row if it has no key, for messages.
        content: bytes of an image file; None for an unusable row.
        label: class label; empty for none.
        labels: annotation; None for none.
        reason: reason why the row cannot be used.
        flaws: the annotation, if it was left out.
    """

    key: str
    content: bytes | None
    label: str = ""
    labels: FaceLabels | None = None
    reason: str = ""
    flaws: tuple[Flaw, ...] = ()


def check_columns(columns: Mapping[str, str] | None) -> dict[str, str]:
    """Return the name of every input column; those that are not given have their own name.

    Raises:
        ArgumentError: an input is unknown.
    """
    for name in columns or {}:
        if name not in INPUTS:
            known = ", ".join(INPUTS)
            raise ArgumentError(f"columns names inputs of {known}, got {name!r}{did_you_mean(str(name), INPUTS)}")
    return {name: name for name in INPUTS} | dict(columns or {})


def read_rows(batch: Mapping[str, Any], columns: Mapping[str, str]) -> list[BatchRow]:
    """Read the rows of a batch; an unusable row has a reason.

    Args:
        batch: columns of equal length by name.
        columns: name of the column of each input.

    Raises:
        ArgumentError: a column is missing, or columns have different lengths.
    """
    found: dict[str, Sequence[Any]] = {}
    for name in INPUTS:
        if columns[name] in batch:
            found[name] = batch[columns[name]]
        elif name in _REQUIRED or columns[name] != name:
            raise ArgumentError(
                f"the batch has no column {columns[name]!r} ({name}), but {', '.join(map(str, batch)) or 'none'}; name "
                f"it with columns={{{name!r}: ...}}"
            )
    counts = {name: len(values) for name, values in found.items()}
    if len(set(counts.values())) > 1:
        raise ArgumentError(f"the columns of a batch must have one length, got {counts}")
    rows = (_row(number, {name: found[name][number] for name in found}) for number in range(counts["key"]))
    return list(_without_repeated_keys(rows))


def _without_repeated_keys(rows: Iterable[BatchRow]) -> Iterator[BatchRow]:
    """Make a row unusable whose key an earlier row has: their copies would have the same keys and draws."""
    keys = set[str]()
    for row in rows:
        repeated = row.content is not None and row.key in keys
        keys.add(row.key)
        yield BatchRow(row.key, None, row.label, reason="has the key of an earlier row") if repeated else row


def _row(number: int, values: Mapping[str, Any]) -> BatchRow:
    key, label = f"row {number}", ""
    try:
        given = _text(values["key"], "key")
        if not given:
            return BatchRow(key, None, reason="has no key")
        key, label = given, _text(values.get("label"), "label")
        content = encoded(values["image"])
    except (FomaugError, *DAMAGE) as cause:
        return BatchRow(key, None, label, reason=reason_of(cause))
    labels, flaws = _annotation(key, values.get("annotation"))
    return BatchRow(key, content, label, labels, flaws=flaws)


def encoded(image: Any) -> bytes:
    """Return an image as the bytes of a file; arrays and PIL images are encoded as PNG.

    Args:
        image: bytes of a file; a mapping with `bytes` or `path`; a (H, W), (H, W, 1 or 3) or (H, W, 2 or 4) uint8 or
            uint16 array; or a PIL image, which is turned upright.

    Raises:
        MediaError: the image has another type, or is missing.
        ShapeError: an array has another shape or dtype.
    """
    if isinstance(image, Mapping):
        if image.get("bytes") is None and isinstance(image.get("path"), str):
            return read_regular(Path(image["path"]), PICTURE)
        image = image.get("bytes")
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, Image.Image):
        return _encode_pil(image)
    if isinstance(image, np.ndarray) and image.dtype != object:
        return encode_image(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image, "png")
    kinds = "the bytes of a file, an (H, W, 3) uint8 array or a PIL image"
    raise MediaError(f"has no image: {kinds} was expected, got {type(image).__name__}")


def _encode_pil(image: Image.Image) -> bytes:
    upright = ImageOps.exif_transpose(image)
    if upright.mode not in ("L", "LA", "RGB", "RGBA", "I;16"):
        palette = "RGBA" if "transparency" in upright.info else "RGB"
        upright = upright.convert("L" if upright.mode == "1" else palette)
    return encode_image(np.asarray(upright), "png", icc_profile=upright.info.get("icc_profile"))


def _text(value: Any, name: str) -> str:
    """Return a key or label as text; None and NaN, which stand for missing values in tables, become an empty text."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return str(int(value))
    raise ShapeError(f"its {name} must be a text or a whole number, got {type(value).__name__}")


def _annotation(key: str, value: Any) -> tuple[FaceLabels | None, tuple[Flaw, ...]]:
    try:
        return read_annotation(value), ()
    except LabelError as cause:
        return None, (Flaw("annotation", key, str(cause)),)


def read_annotation(value: Any) -> FaceLabels | None:
    """Read an annotation in the form that the rows of an expanded dataset have, as JSON or as its text.

    Args:
        value: mapping with any of `points`, `visible`, `boxes`, `box_visible`, `segments` and `fields`; None and an
            empty text stand for no annotation.

    Raises:
        LabelError: a value has another form.
    """
    if value is None or value == "" or (isinstance(value, float) and np.isnan(value)):
        return None
    values = load_json(value, "the annotation", LabelError, finite=False) if isinstance(value, str | bytes) else value
    if not isinstance(values, Mapping):
        raise LabelError(f"an annotation must be a JSON object, got {type(values).__name__}")
    return read_plain(values)
