"""Numbered parquet files with the image column of Hugging Face datasets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from fomaug.expand.formats.registry import ArchiveWriter, register
from fomaug.expand.manifest import Row
from fomaug.expand.readers import import_pyarrow
from fomaug.expand.samples import Sample

_TEXTS: Final = ("label", "source", "source_id", "split")
_GROUP_BYTES: Final = 32 << 20
_MAGIC: Final = b"PAR1"


@register("parquet")
class ParquetWriter(ArchiveWriter):
    """Writer of one table per shard: image, label, source, source_id, split, and the manifest row as JSON."""

    suffix = ".parquet"

    def __init__(self, out: Path, classes: tuple[str, ...] = ()) -> None:
        super().__init__(out, classes)
        self._arrow, self._parquet = import_pyarrow()
        self._pending: list[Row] = []

    def begin(self, shard: str) -> None:
        """Open an empty table under a temporary name."""
        temporary, self._pending = self._open(shard), []
        self._schema = _schema(self._arrow)
        self._writer = self._stack.enter_context(self._parquet.ParquetWriter(temporary, self._schema))

    def add(self, sample: Sample) -> None:
        """Append a copy to the table; rows are written in groups, which limits the memory."""
        row = {"file": self.file, "member": sample.name, **sample.row}
        picture = {"bytes": sample.content, "path": _text(sample.name)}
        texts = {name: _text(sample.row.get(name) or "") for name in _TEXTS}
        self._pending.append({"image": picture, **texts, "manifest": json.dumps(row)})
        self.rows.append(row)
        if sum(len(line["image"]["bytes"]) for line in self._pending) > _GROUP_BYTES:
            self._write_group()

    def finish(self) -> list[Row]:
        """Close the table and rename it to its final name."""
        self._write_group()
        return super().finish()

    @staticmethod
    def read(archive: BinaryIO, names: Sequence[str]) -> dict[str, bytes]:
        """Read images of a table by name; only row groups with such images are read, each once."""
        _, parquet = import_pyarrow()
        wanted = {_text(name): name for name in names}
        found: dict[str, bytes] = {}
        with parquet.ParquetFile(archive) as table:
            for group in range(table.num_row_groups):
                paths = table.read_row_group(group, columns=["image.path"])["image"].to_pylist()
                indices = [index for index, image in enumerate(paths) if image["path"] in wanted]
                if indices:
                    images = table.read_row_group(group, columns=["image"])["image"].take(indices).to_pylist()
                    found |= {wanted[image["path"]]: image["bytes"] for image in images}
        return found

    @staticmethod
    def is_whole(archive: BinaryIO, count: int, last: Row) -> bool:
        """Return whether the table has a footer that fits its size, with as many rows as there are copies."""
        arrow, parquet = import_pyarrow()
        try:
            starts = archive.read(len(_MAGIC)) == _MAGIC
            return starts and int(parquet.read_metadata(archive).num_rows) == count
        except arrow.ArrowException:
            return False

    def _write_group(self) -> None:
        if self._pending:
            self._writer.write_table(self._arrow.Table.from_pylist(self._pending, schema=self._schema))
            self._pending = []


def _text(name: str) -> str:
    """Escape bytes that are not UTF-8, which are allowed in file names, but not in strings of parquet."""
    return name.encode("utf-8", "backslashreplace").decode()


def _schema(arrow: Any) -> Any:
    image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    names = (*_TEXTS, "manifest")
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    features |= {name: {"dtype": "string", "_type": "Value"} for name in names}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return arrow.schema([("image", image), *((name, arrow.string()) for name in names)], metadata=metadata)
