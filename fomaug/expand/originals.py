"""Originals beside their copies: links, files, or archives of their own, and rows at the end of the manifest."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path, PurePosixPath
from typing import Final

from fomaug import files
from fomaug.errors import MediaError, reason_of
from fomaug.expand.formats import archive_suffix, is_whole_archive, open_writer
from fomaug.expand.labels import Annotator
from fomaug.expand.manifest import Row, to_line
from fomaug.expand.output import MANIFEST, push_archive
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.report import Failure
from fomaug.expand.samples import MAX_NAME_BYTES, Sample, copy_label, cut_stem, path_inside
from fomaug.expand.shards import choose_stems, shard_name
from fomaug.expand.sources import SourceFile
from fomaug.files import link_relative, open_regular, replacing, write_file
from fomaug.labels import FaceLabels, to_plain
from fomaug.media import file_size, upright_size

_ARCHIVED: Final = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"}

_Named = tuple[SourceFile, str, Row]  # source, path or name within its archive, row


@dataclass
class Originals:
    """The originals of a job; they are put into its output folder when all copies are made.

    Attributes:
        plan: settings of the job.
        sources: source files.
        classes: labels of copies and originals, as archives number them.
        annotator: reader and writer of annotations; None without annotations.
        failed: originals that could not be read.
    """

    plan: ExpandPlan
    sources: Sequence[SourceFile]
    classes: tuple[str, ...]
    annotator: Annotator | None = None
    failed: list[Failure] = field(default_factory=list)

    @property
    def out(self) -> Path:
        """Output folder."""
        return Path(self.plan.out)

    def add(self, without: Collection[str]) -> int:
        """Write the originals to the output folder, and append their rows to a manifest that has only copies.

        Existing links, files and archives are kept.

        Args:
            without: keys of the sources that could not be used, which are left out of the originals, too.

        Returns:
            The number of originals.
        """
        count, path = 0, self.out / MANIFEST
        with replacing(path, durable=True) as temporary, temporary.open("wb") as target:
            if path.exists():
                with open_regular(path, files.MANIFEST) as copies:
                    shutil.copyfileobj(copies, target)
            for row in self._rows(without):
                target.write(to_line(row).encode())
                count += 1
        return count

    def _rows(self, without: Collection[str]) -> Iterator[Row]:
        """Write the originals and yield their rows."""
        stems = choose_stems(self.plan, self.sources)
        sources = [source for source in self.sources if source.key not in without]
        if self.plan.format != "folder":
            sources.sort(key=self._key)
        named = (found for source in sources if (found := self._named(source, stems[source.key])) is not None)
        return self._place(named) if self.plan.format == "folder" else self._archive(named)

    def _named(self, source: SourceFile, stem: str) -> _Named | None:
        """Name an original, and describe it; None for one that cannot be read."""
        try:
            content = b"" if source.path is not None else source.read()
            (height, width), _ = upright_size(source.path or content, PurePosixPath(source.key).suffix)
        except (MediaError, OSError) as cause:
            self._fail(source, cause)
            return None
        label = copy_label(self.plan.labels, source.label, None, still=True)
        row: Row = {
            "source": source.key,
            "source_id": source.id,
            "original": True,
            "label": label or None,
            "split": source.split or None,
            "size": [height, width],
            "bytes": len(content) if source.path is None else file_size(source.path),
        }
        annotation = self._annotation(source, (height, width))
        if annotation is not None:
            row["annotation"] = to_plain(annotation)
        return source, original_name(source, stem, label, archived=self.plan.format != "folder"), row

    def _place(self, named: Iterator[_Named]) -> Iterator[Row]:
        """Link or copy the files of originals, with files of annotations where their format has them."""
        for source, name, row in named:
            path = path_inside(self.out, name)
            try:
                if self.plan.include_sources == "link" and source.path is not None:
                    link_relative(path, source.path)
                elif path.is_symlink() or not path.is_file() or file_size(path) != row["bytes"]:
                    write_file(path, source.read(), durable=True)
            except FileNotFoundError as cause:
                self._fail(source, cause)
                continue
            height, width = row["size"]
            annotation = self._annotation(source, (height, width))
            if self.annotator is not None and annotation is not None:
                self.annotator.write_with(name, (height, width), annotation)
            yield {"file": name, **row}

    def _archive(self, named: Iterator[_Named]) -> Iterator[Row]:
        """Write the originals to archives of one split, and tar files of one image format."""
        numbers = Counter[str]()
        divided = any(source.split for source in self.sources)
        for (split, _), members in groupby(named, lambda found: self._key(found[0])):
            while part := list(islice(members, self.plan.samples_per_shard)):
                name = shard_name(split, numbers[split], divided=divided, originals=True)
                numbers[split] += 1
                yield from self._write_archive(name, part)

    def _key(self, source: SourceFile) -> tuple[str, str]:
        """Return the split and the format that the originals of an archive share."""
        suffix = archived_suffix(PurePosixPath(source.key).suffix)
        return source.split, suffix if self.plan.format == "webdataset" else ""

    def _write_archive(self, shard: str, named: Sequence[_Named]) -> list[Row]:
        file = f"{shard}{archive_suffix(self.plan.format)}"
        rows: list[Row] = [{"file": file, "member": name, **row} for _, name, row in named]
        if is_whole_archive(f"{self.plan.target}/{file}", len(rows), rows[-1]):
            return rows
        writer = open_writer(self.out, self.plan.format, self.classes)
        writer.begin(shard)
        try:
            for source, name, row in named:
                try:
                    content = source.read()
                except OSError as cause:
                    self._fail(source, cause)
                    continue
                writer.add(writer.prepare(Sample(name, content, None, row)))
        except BaseException:
            writer.abandon()
            raise
        rows = writer.finish()
        push_archive(self.plan, file)
        return rows

    def _annotation(self, source: SourceFile, size: tuple[int, int]) -> FaceLabels | None:
        """Return the labels of an original, without those that do not fit, which the rows of its copies name."""
        annotator = self.annotator
        return None if annotator is None else annotator.fit(annotator.labels.get(source.key), source.key, size)[0]

    def _fail(self, source: SourceFile, cause: BaseException) -> None:
        self.failed.append(Failure(source.key, f"it is not among the originals: {reason_of(cause)}"))


def original_name(source: SourceFile, stem: str, label: str, *, archived: bool) -> str:
    """Return the path of an original below the output folder, see `copy_name`; its suffix is its own.

    Args:
        source: source file.
        stem: stem of the file names of the copies, without their ending.
        label: label of the original; empty for none.
        archived: True for a member of an archive, where all suffixes of a format become one.
    """
    parts = [part for part in (source.split_folder, label) if part]
    suffix = PurePosixPath(source.key).suffix
    suffix = archived_suffix(suffix) if archived else suffix
    return str(PurePosixPath(*parts, source.folder, f"{cut_stem(stem, MAX_NAME_BYTES - len(suffix))}{suffix}"))


def archived_suffix(suffix: str) -> str:
    """Return the one suffix that all members of an image format have.

    >>> archived_suffix(".JPEG"), archived_suffix(".webp")
    ('.jpg', '.webp')
    """
    return _ARCHIVED.get(suffix.lower(), suffix.lower())
