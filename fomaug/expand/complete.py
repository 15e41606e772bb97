"""The end of a job: rows are joined, originals added, annotations, contact sheet, card and summary written."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from pathlib import Path, PurePosixPath

from fomaug import files
from fomaug.errors import MediaError, reason_of
from fomaug.expand.card import archived_suffix, choose_sources, remove_thumbnails, save_card, save_contact_sheet
from fomaug.expand.formats import archive_suffix, is_whole_archive, open_writer
from fomaug.expand.index import RowIndex
from fomaug.expand.labels import Annotator
from fomaug.expand.manifest import Row, read_rows, to_line
from fomaug.expand.output import CARD, CONTACT_SHEET, MANIFEST, REJECTED, SUMMARY, push, push_archive, remove_pieces
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.prepare import Prepared, inputs_of
from fomaug.expand.report import ExpandReport, Failure, describe_profile, save_summary
from fomaug.expand.samples import MAX_NAME_BYTES, MOST_SHOWN, Sample, copy_label, cut_stem, path_inside
from fomaug.expand.shards import Division, choose_stems, shard_name
from fomaug.expand.sources import SourceFile
from fomaug.expand.tasks import Share, Tasks
from fomaug.files import link_relative, open_regular, replacing, write_file
from fomaug.labels import FaceLabels, Flaw, to_plain
from fomaug.media import Provenance, file_size, upright_size


def complete(prepared: Prepared, index: RowIndex, tasks: Tasks, report: ExpandReport) -> ExpandReport:
    """Write all files that describe the whole dataset, and complete the report of the job."""
    out, annotator = prepared.out, prepared.stages.annotator
    shown = _choose_rows(prepared, index)
    setup = prepared.setup()
    index.join()
    originals = Originals(setup.plan, prepared.sources, setup.classes, annotator)
    unused = {failure.source for failure in (*report.failed, *tasks.failed)}
    count = 0 if setup.plan.include_sources == "none" else originals.add(unused)
    if annotator is not None:
        annotator.write_all(read_rows(out / MANIFEST, originals=True))
    url = prepared.plan.out_url
    sheet, unshown = save_contact_sheet(out, shown, prepared.sources, _provenance(prepared), url=url)
    save_card(
        setup.plan, prepared.sources, setup.classes, metadata=annotator is not None and annotator.format == "jsonl"
    )
    failed = (*report.failed, *_sort(tasks.failed, prepared.division), *originals.failed)
    named = {failure.source for failure in failed}
    report = replace(
        _count(prepared, index, tasks, report),
        failed=(*failed, *(failure for failure in unshown if failure.source not in named)),
        originals=count,
        unannotated=0 if annotator is None else len(annotator.missing),
        labels=index.count_labels(),
        contact_sheet=sheet,
    )
    summary = {"state": "done", **report.result(), **prepared.facts, "given": inputs_of(prepared.plan)}
    save_summary(out, summary)
    remove_thumbnails(out)
    push(prepared.plan, MANIFEST, REJECTED, CONTACT_SHEET, CARD, SUMMARY)
    remove_pieces(prepared.plan)
    return report


def report_share(prepared: Prepared, index: RowIndex, tasks: Tasks, report: ExpandReport, share: Share) -> ExpandReport:
    """Complete the report of a share; its rows stay in its parts until all shares are joined."""
    failed = (*report.failed, *_sort(tasks.failed, prepared.division))
    return replace(_count(prepared, index, tasks, report, share), failed=failed, shard=str(share))


def _count(
    prepared: Prepared, index: RowIndex, tasks: Tasks, report: ExpandReport, share: Share | None = None
) -> ExpandReport:
    written, rejected = index.counts(None if share is None else share.groups(prepared.division.num_groups))
    return replace(
        report,
        written=written,
        new=written - report.written,
        rejected=rejected,
        skipped_clips=tuple(Failure(clip, reason) for clip, reason in prepared.stages.augment.driving.skipped),
        flawed=_list_flaws(prepared, index, tasks.flaws),
        profile=tuple(describe_profile(tasks.seconds)),
    )


def _choose_rows(prepared: Prepared, index: RowIndex) -> dict[str, list[Row]]:
    """Choose the rows of the contact sheet, by the key of their source, in planned order."""
    keys = choose_sources([source.key for source in prepared.sources])
    keys.sort(key=lambda key: prepared.division.span(key).start)
    return {key: index.rows_of(key, MOST_SHOWN) for key in keys}


def _provenance(prepared: Prepared) -> Provenance:
    model, pool = prepared.stages.augment.model, prepared.stages.augment.driving
    return Provenance(model.name, model_hash=model.hash, pool_hash=pool.hash, source_type="composite")


def _sort(failed: Iterable[Failure], division: Division) -> list[Failure]:
    """Sort failures into planned order, one for each source."""
    first = {failure.source: failure for failure in reversed(list(failed))}
    return sorted(first.values(), key=lambda failure: division.span(failure.source).start)


def _list_flaws(prepared: Prepared, index: RowIndex, unrecorded: Sequence[Flaw]) -> tuple[Failure, ...]:
    """List flaws from the reader, from the rows, and of sources without rows."""
    annotator = prepared.stages.annotator
    if annotator is None:
        return ()
    others = {(flaw.where, flaw.described) for flaw in (*annotator.flaws, *unrecorded)}
    return tuple(Failure(*found) for found in sorted(index.flaws | others))


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
