"""Numbered tar files in the layout of WebDataset."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from fomaug.expand.formats.registry import FormatWriter, Sample, register
from fomaug.expand.manifest import Row
from fomaug.expand.names import path_inside
from fomaug.files import ARCHIVE, open_regular, replacing


@register("webdataset")
class TarWriter(FormatWriter):
    """Writer of one archive per shard; members of a copy: image, `.json` and, with classes, `.cls`."""

    suffix = ".tar"

    def __init__(self, out: Path, classes: tuple[str, ...] = ()) -> None:
        super().__init__(out, classes)
        self.numbers = {label: number for number, label in enumerate(classes)}
        self.file = ""
        self._stack = ExitStack()

    def begin(self, shard: str) -> None:
        """Open an empty archive under a temporary name."""
        self.file, self.rows, self._stack = f"{shard}.tar", [], ExitStack()
        temporary = self._stack.enter_context(replacing(path_inside(self.out, self.file)))
        archive = tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - the stack closes it
        self._archive = self._stack.enter_context(archive)

    def add(self, sample: Sample) -> None:
        """Append the members of a copy."""
        key = str(PurePosixPath(sample.name).with_suffix(""))
        row = {"file": self.file, "member": sample.name, **sample.row}
        self._append(sample.name, sample.content)
        if sample.row["label"] in self.numbers:
            self._append(f"{key}.cls", str(self.numbers[sample.row["label"]]).encode())
        self._append(f"{key}.json", json.dumps(row).encode())
        if sample.mark is not None:
            self._append(f"{key}.xmp", sample.mark)
        self.rows.append(row)

    def finish(self) -> list[Row]:
        """Close the archive and rename it to its final name."""
        self._stack.close()
        return self.rows

    def abandon(self) -> None:
        """Delete the unfinished archive."""
        # An error makes the stack delete the temporary file instead of renaming it.
        self._stack.__exit__(InterruptedError, InterruptedError(), None)

    @staticmethod
    def read(path: Path, names: Sequence[str]) -> dict[str, bytes]:
        """Read members of an archive, by name."""
        with open_regular(path, ARCHIVE) as file, tarfile.open(fileobj=file) as archive:
            found = {name: archive.extractfile(name) for name in names}
            return {name: member.read() for name, member in found.items() if member is not None}

    def _append(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)  # time, owner and mode are constants: equal samples give equal bytes
        member.size = len(content)
        self._archive.addfile(member, io.BytesIO(content))
