"""Folders of image files, one file per copy."""

from __future__ import annotations

from fomaug.expand.formats.registry import FormatWriter, register
from fomaug.expand.manifest import Row
from fomaug.expand.samples import Sample, path_inside
from fomaug.files import flush_folder, write_file
from fomaug.media import sidecar_of


@register("folder")
class FolderWriter(FormatWriter):
    """Writer of one file per copy."""

    per_unit = True

    def begin(self, shard: str) -> None:
        """Start an empty list of rows."""
        self.rows = []

    def prepare(self, sample: Sample) -> Sample:
        """Write the file of a copy."""
        path = path_inside(self.out, sample.name)
        if sample.mark is not None:
            write_file(sidecar_of(path), sample.mark, durable=True)
        write_file(path, sample.content, durable=True)
        return sample

    def add(self, sample: Sample) -> None:
        """Append the row of a copy."""
        self.rows.append({"file": sample.name, **sample.row})

    def finish(self) -> list[Row]:
        """Wait until the names of the files are on the disk, and return the rows of the shard."""
        for folder in {(self.out / row["file"]).parent for row in self.rows}:
            flush_folder(folder)
        return self.rows

    def abandon(self) -> None:
        """Keep complete files, which a resumed job replaces by equal ones."""
