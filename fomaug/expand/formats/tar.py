"""Numbered tar files as WebDataset reads them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from fomaug.expand.formats.folder import Row, Sample
from fomaug.expand.names import place_inside
from fomaug.files import ARCHIVE, open_regular, replacing


class TarSink:
    """One archive per shard; of each copy the picture, a `.json` and, where there are classes, a `.cls`."""

    def __init__(self, out: Path, classes: tuple[str, ...] = ()) -> None:
        self.out = out
        self.numbers = {label: number for number, label in enumerate(classes)}
        self.file = ""
        self.rows: list[Row] = []
        self._stack = ExitStack()

    def begin(self, shard: str) -> None:
        """Start an empty archive under a temporary name."""
        self.file, self.rows, self._stack = f"{shard}.tar", [], ExitStack()
        temporary = self._stack.enter_context(replacing(place_inside(self.out, self.file)))
        archive = tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - the stack closes it
        self._archive = self._stack.enter_context(archive)

    def prepare(self, sample: Sample) -> Sample:
        """Nothing can be done beforehand."""
        return sample

    def add(self, sample: Sample) -> None:
        """Append the members of the sample."""
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
        """Give the archive its name."""
        self._stack.close()
        return self.rows

    def abandon(self) -> None:
        """Delete the unfinished archive."""
        # The stack sees an error, so that the archive does not get its name.
        self._stack.__exit__(InterruptedError, InterruptedError(), None)

    def _append(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)  # time, owner and mode are constants: equal samples give equal bytes
        member.size = len(content)
        self._archive.addfile(member, io.BytesIO(content))


def load_members(path: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Read some members of an archive, by name."""
    with open_regular(path, ARCHIVE) as file, tarfile.open(fileobj=file) as archive:
        found = {name: archive.extractfile(name) for name in names}
        return {name: member.read() for name, member in found.items() if member is not None}
