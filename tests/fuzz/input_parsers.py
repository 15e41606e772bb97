"""Lists, archives and metadata that name the pictures of a dataset: their parsers, and small good files for them."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from media_parsers import encoded, smooth
from parser import Parser
from PIL import Image

PICTURES = 3


@cache
def _pictures() -> list[bytes]:
    return [encoded(Image.fromarray(smooth(16, 16, seed=number)), "PNG") for number in range(PICTURES)]


def csv_list() -> list[bytes]:
    return [b"file,label,split\na/0.png,smile,train\nb/1.png,,val\n2.png,nod,test\n"]


def json_list() -> list[bytes]:
    rows: list[dict[str, Any]] = [
        {"file_name": "a/0.png", "label": "smile", "split": "train"},
        {"file_name": "b/1.png", "label": 3},
        {"path": "2.png", "points": [[1.5, 2.0]]},
    ]
    return ["".join(json.dumps(row) + "\n" for row in rows).encode()]


def tar_archive() -> list[bytes]:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for number, content in enumerate(_pictures()):
            described = json.dumps({"label": f"class {number}"}).encode()
            for suffix, part in (("png", content), ("cls", b"1"), ("json", described)):
                member = tarfile.TarInfo(f"a/{number}.{suffix}")
                member.size = len(part)
                archive.addfile(member, io.BytesIO(part))
    return [file.getvalue()]


def parquet_archive() -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    images = [{"bytes": content, "path": f"{number}.png"} for number, content in enumerate(_pictures())]
    file = io.BytesIO()
    pq.write_table(pa.table({"image": images, "label": ["a", "b", "a"]}), file, row_group_size=2)
    return [file.getvalue()]


def _read_input(path: Path) -> None:
    """List the pictures of an input and read those that are within it, as a job does."""
    from fomaug.expand.dataset import find_sources

    with tempfile.TemporaryDirectory() as out:
        found = find_sources(path, out=Path(out))
    for source in found.chosen[:PICTURES]:
        parts = PurePosixPath(source.key).parts
        assert parts and not source.key.startswith("/") and ".." not in parts, source.key
        try:
            source.read()
        except OSError:
            continue  # the job names it, and goes on


def _in_folder(name: str) -> Callable[[Path], None]:
    """Make the reader of a folder of pictures whose file of that name is another."""

    def read(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "a").mkdir()
            for number, content in enumerate(_pictures()):
                Path(folder, "a", f"{number}.png").write_bytes(content)
            Path(folder, name).write_bytes(path.read_bytes())
            _read_input(Path(folder))

    return read


PARSERS = {
    "CSV list of pictures": Parser(_read_input, csv_list, ".csv", refused=0.02),
    "JSON list of pictures": Parser(_read_input, json_list, ".jsonl", refused=0.02),
    "tar archive": Parser(_read_input, tar_archive, ".tar", refused=0.02),
    "parquet archive": Parser(_read_input, parquet_archive, ".parquet"),
    "metadata of a folder": Parser(_in_folder("metadata.jsonl"), json_list, refused=0.0),
}
