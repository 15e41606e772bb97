"""Parquet files with a column of encoded pictures, such as those of Hugging Face datasets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from fomaug.errors import ArgumentError, MediaError, reason_of
from fomaug.expand.inputs.names import Found, Listed, check_listed, safe_key, split_of
from fomaug.expand.inputs.tar import label_text
from fomaug.expand.readers import ParquetReader, import_pyarrow
from fomaug.expand.report import Failure
from fomaug.expand.sources import SourceFile
from fomaug.files import ARCHIVE
from fomaug.remote import open_any

_PICTURES: Final = ("image", "img", "picture", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes")
_LABELS: Final = ("label", "class", "cls")
_BATCH: Final = 16  # rows whose names and labels are read at a time; a few bytes may stand for many long names


class _Table(NamedTuple):
    """The columns of a parquet file that are read.

    Attributes:
        image: column of the pictures.
        path: column of their names inside of the column of the pictures; empty without names.
        label: column of the labels; empty without labels.
        names: names of numbered labels.
    """

    image: str
    path: str
    label: str
    names: tuple[str, ...]


def list_tables(files: Iterable[str]) -> Listed:
    """List the pictures of parquet files.

    Pictures are in a column of structs with the field `bytes`, as `datasets` writes them, or in a column of bytes.
    Labels are in a column `label`, `class` or `cls`; numbers of a `ClassLabel` get their names. The split is that of
    the file, see `split_of`.

    Args:
        files: paths or URLs.

    Raises:
        ArgumentError: a file cannot be read, or has no column of pictures.
    """
    failed: list[Failure] = []
    found = [item for file in files for item in _list_table(file, failed)]
    return check_listed(found, failed)


def _list_table(file: str, failed: list[Failure]) -> Iterator[Found]:
    arrow, parquet = import_pyarrow()
    try:
        with open_any(file, ARCHIVE) as opened, parquet.ParquetFile(opened) as table:
            columns = _columns(file, table.schema_arrow)
            _check_count(file, table.metadata)
            for group in range(table.num_row_groups):
                yield from _list_group(file, table, group, columns, failed)
    except (arrow.ArrowException, UnicodeDecodeError) as cause:
        raise ArgumentError(f"{file} cannot be read as a parquet file ({str(cause)[:200]})") from cause
    except OSError as cause:
        raise ArgumentError(f"{file} cannot be read: {reason_of(cause)}") from cause


def _check_count(file: str, metadata: Any) -> None:
    """Raise an error for a file that states more rows than it can contain pictures."""
    size = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    if metadata.num_rows > size:
        raise ArgumentError(f"{file} claims {metadata.num_rows:,} rows in {size:,} bytes, so it holds no pictures")


def _columns(file: str, schema: Any) -> _Table:
    structs = {field.name: _fields(field.type) for field in schema}
    image = next((name for name, fields in structs.items() if _is_bytes(fields.get("bytes"))), "")
    flat = [field.name for field in schema if _is_bytes(field.type)]
    image = image or next((name for name in _PICTURES if name in flat), "") or (flat[0] if len(flat) == 1 else "")
    if not image:
        named = ", ".join(schema.names[:20])
        raise ArgumentError(f"{file} has no column of pictures, as bytes or as a struct with bytes, but {named}")
    path = f"{image}.path" if "path" in structs[image] else ""
    label = next((name for name in _LABELS if name in schema.names), "")
    return _Table(image, path, label, _class_names(schema.metadata or {}, label))


def _fields(kind: Any) -> dict[str, Any]:
    import pyarrow

    return {field.name: field.type for field in kind} if pyarrow.types.is_struct(kind) else {}


def _is_bytes(kind: Any) -> bool:
    import pyarrow

    return kind is not None and bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def _class_names(metadata: dict[bytes, bytes], label: str) -> tuple[str, ...]:
    """Return the names of the classes that `datasets` saved in the file; none if there are none."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        names = features[label]["names"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _list_group(file: str, table: Any, group: int, columns: _Table, failed: list[Failure]) -> Iterator[Found]:
    metadata = table.metadata.row_group(group)
    own = [metadata.column(number) for number in range(metadata.num_columns)]
    size = sum(column.total_compressed_size for column in own if column.path_in_schema.split(".")[0] == columns.image)
    mean = size // max(1, metadata.num_rows)
    for row, (path, label) in enumerate(_rows(table, group, columns)):
        where = f"{file}, row {row} of group {group}"
        try:
            text = _named(label, columns.names)
        except MediaError as cause:
            failed.append(Failure(where, str(cause)))
            continue
        home = PurePosixPath(safe_key(file)).stem
        key = safe_key(path) if isinstance(path, str) and path else f"{home}/{group:04d}-{row:06d}"
        reader = ParquetReader(file, group, row, columns.image)
        yield Found(SourceFile(Path(), key, text, split_of(file), mean, reader), home, where)


def _rows(table: Any, group: int, columns: _Table) -> Iterator[tuple[Any, Any]]:
    """Yield name and label of each row; the pictures are not read."""
    names = [name for name in (columns.path, columns.label) if name]
    if not names:
        yield from ((None, None) for _ in range(table.metadata.row_group(group).num_rows))
        return
    for batch in table.iter_batches(_BATCH, row_groups=[group], columns=names):
        count = batch.num_rows
        images = batch.column(columns.image).to_pylist() if columns.path else [None] * count
        labels = batch.column(columns.label).to_pylist() if columns.label else [None] * count
        for image, label in zip(images, labels, strict=True):
            yield (image or {}).get("path"), label


def _named(label: Any, names: tuple[str, ...]) -> str:
    if isinstance(label, int) and 0 <= label < len(names):
        return names[label]
    if names and label == -1:  # as datasets marks a missing label
        return ""
    return label_text(label)
