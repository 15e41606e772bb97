"""Numbered parquet files, with the columns from which Hugging Face datasets reads pictures."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from fomaug.errors import MissingExtraError
from fomaug.expand.formats.folder import Row, Sample
from fomaug.expand.names import place_inside
from fomaug.files import ARCHIVE, check_regular, replacing

_TEXTS: Final = ("label", "source", "source_id", "split")
_GROUP_BYTES: Final = 32 << 20


class ParquetSink:
    """One table per shard: image, label, source, source_id, split, and the manifest row as JSON."""

    def __init__(self, out: Path) -> None:
        self._arrow, self._parquet = _pyarrow()
        self.out = out
        self.file = ""
        self.rows: list[Row] = []
        self._lines: list[Row] = []
        self._stack = ExitStack()

    def begin(self, shard: str) -> None:
        """Start an empty table under a temporary name."""
        self.file, self.rows, self._lines, self._stack = f"{shard}.parquet", [], [], ExitStack()
        temporary = self._stack.enter_context(replacing(place_inside(self.out, self.file)))
        self._schema = _schema(self._arrow)
        self._writer = self._stack.enter_context(self._parquet.ParquetWriter(temporary, self._schema))

    def prepare(self, sample: Sample) -> Sample:
        """Nothing can be done beforehand."""
        return sample

    def add(self, sample: Sample) -> None:
        """Append a line to the table; lines are written in groups, so that memory stays bounded."""
        row = {"file": self.file, "member": sample.name, **sample.row}
        picture = {"bytes": sample.content, "path": _text(sample.name)}
        texts = {name: _text(sample.row.get(name) or "") for name in _TEXTS}
        self._lines.append({"image": picture, **texts, "manifest": json.dumps(row)})
        self.rows.append(row)
        if sum(len(line["image"]["bytes"]) for line in self._lines) > _GROUP_BYTES:
            self._write_group()

    def finish(self) -> list[Row]:
        """Give the table its name."""
        self._write_group()
        self._stack.close()
        return self.rows

    def abandon(self) -> None:
        """Delete the unfinished table."""
        # The stack sees an error, so that the table does not get its name.
        self._stack.__exit__(InterruptedError, InterruptedError(), None)

    def _write_group(self) -> None:
        if self._lines:
            self._writer.write_table(self._arrow.Table.from_pylist(self._lines, schema=self._schema))
            self._lines = []


def load_pictures(path: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Read some pictures of a table, by name; of its groups of lines only those that hold one, and each once."""
    _, parquet = _pyarrow()
    wanted = {_text(name): name for name in names}
    found: dict[str, bytes] = {}
    check_regular(path, ARCHIVE)
    with parquet.ParquetFile(path) as table:
        for group in range(table.num_row_groups):
            paths = table.read_row_group(group, columns=["image.path"])["image"].to_pylist()
            lines = [line for line, image in enumerate(paths) if image["path"] in wanted]
            if lines:
                images = table.read_row_group(group, columns=["image"])["image"].take(lines).to_pylist()
                found |= {wanted[image["path"]]: image["bytes"] for image in images}
    return found


def _text(name: str) -> str:
    """Escape what is no UTF-8: file names may hold any bytes, parquet's strings may not."""
    return name.encode("utf-8", "backslashreplace").decode()


def _schema(arrow: Any) -> Any:
    image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    names = (*_TEXTS, "manifest")
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    features |= {name: {"dtype": "string", "_type": "Value"} for name in names}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return arrow.schema([("image", image), *((name, arrow.string()) for name in names)], metadata=metadata)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as cause:
        raise MissingExtraError("pyarrow", "parquet") from cause
    return pyarrow, pyarrow.parquet
