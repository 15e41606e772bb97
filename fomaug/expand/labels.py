"""Labels of a job: class labels by the policy of the plan, and annotations, which are read, fitted and written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

from fomaug.driving import DrivingPool, mirrored_expression
from fomaug.errors import ArgumentError, LabelError
from fomaug.expand.dataset import SOURCES
from fomaug.expand.inputs import pictures_root, safe_key
from fomaug.expand.manifest import Row, explained_rows
from fomaug.expand.output import MANIFEST, REJECTED, SUMMARY
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.samples import check_label, copy_label
from fomaug.expand.sources import SourceFile
from fomaug.files import LABELS, sha256_of
from fomaug.labels import (
    Annotations,
    FaceLabels,
    Flaw,
    find_format,
    fit,
    from_plain,
    list_annotations,
    load_labels,
    point_counts,
    scheme_names,
    write_annotations,
)
from fomaug.media import file_size


def parse_labels(text: str) -> str | dict[str, str]:
    """Parse the option `labels`: a policy, or OLD=NEW pairs separated by commas.

    >>> parse_labels("keep"), parse_labels("*=fake"), parse_labels("glad=happy,*=other")
    ('keep', {'*': 'fake'}, {'glad': 'happy', '*': 'other'})
    """
    if "=" not in text:
        return text
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if not all(old.strip() and equals for old, equals, _ in pairs):
        raise ArgumentError(f"labels must be OLD=NEW pairs with commas between, got {text!r}")
    return {old.strip(): new.strip() for old, _, new in pairs}


def check_policy(plan: ExpandPlan, sources: Iterable[SourceFile], pool: DrivingPool) -> None:
    """Check that the label policy has a label for every possible copy.

    Raises:
        LabelError: clips have no label, or the mapping does not fit the dataset.
        ArgumentError: a label cannot name a folder.
    """
    if plan.labels == "from_clip":
        check_clip_labels(pool)
    elif not isinstance(plan.labels, str):
        labels = {source.label for source in sources}
        check_mapped(plan.labels, labels)
        _check_mapping(plan.labels, labels)


def check_clip_labels(pool: DrivingPool) -> None:
    """Check that every clip of a pool has a label that can name a folder.

    Raises:
        LabelError: clips have no label.
        ArgumentError: a label cannot name a folder.
    """
    nameless = [track.name for track in pool.tracks if not track.label]
    if nameless:
        raise LabelError(
            f"labels='from_clip', but {len(nameless)} of {len(pool)} driving clips have no label "
            f"({', '.join(nameless[:3])}); give clip_labels, a CSV file with columns clip,label"
        )
    for label in {track.label for track in pool.tracks}:
        check_label(label or "")


def check_mapped(mapping: Mapping[str, str], labels: set[str]) -> None:
    """Raise `LabelError` if a mapping from old to new labels lacks one of the labels of a dataset."""
    if "*" not in mapping and (missing := sorted(labels - set(mapping))):
        raise LabelError(
            f"labels maps {', '.join(sorted(mapping))}, but the dataset also has {', '.join(missing)}; "
            "map them, too, or all others by '*'"
        )


def _check_mapping(mapping: Mapping[str, str], labels: set[str]) -> None:
    if unknown := sorted(set(mapping) - labels - {"*"}):
        raise LabelError(f"labels maps {', '.join(unknown)}, but the dataset has {', '.join(sorted(labels)) or 'none'}")
    for new in mapping.values():
        check_label(new)


def list_classes(plan: ExpandPlan, sources: Iterable[SourceFile], pool: DrivingPool) -> tuple[str, ...]:
    """Return all labels that copies can have, sorted; archives number the classes in this order."""
    own = {source.label for source in sources}
    if plan.labels == "from_clip":
        labels = {track.label or "" for track in pool.tracks}
        if plan.mirror_probability:
            labels |= set(map(mirrored_expression, labels))
    else:
        labels = {copy_label(plan.labels, label, None) for label in own}
    if plan.faces != "frame" and plan.on_missing == "copy":
        labels |= {copy_label(plan.labels, label, None, still=True) for label in own}
    if plan.include_sources != "none":
        labels |= {copy_label(plan.labels, label, None, still=True) for label in own}
    return tuple(sorted(labels - {""}))


class Annotator:
    """Reader and writer of a dataset's annotations; the written format is the one that was read.

    Masks and `.pts` files are written together with their copies. All other formats are written from the manifest at
    the end of the job.

    Annotations that cannot be used are left out and reported, or raise an error if the plan says so; the other
    annotations of the same image are used. Flaws of images that are not expanded are ignored.

    Attributes:
        out: output folder.
        path: file or folder of the annotations.
        format: name of the format.
        labels: labels of the sources, by key; those of masks have no pixels yet.
        missing: keys of sources without annotations.
        flaws: annotations that were left out by the reader; see also `fit`.
    """

    def __init__(self, plan: ExpandPlan, sources: Sequence[SourceFile]) -> None:
        assert plan.annotations is not None
        self.out = Path(plan.out)
        self.path = Path(plan.annotations)
        self.in_archives = plan.format != "folder"
        found = find_format(self.path, plan.annotation_format)
        self.format = found.name
        self._file_of = None if self.in_archives else found.file_of
        self._stops = plan.on_error == "raise"
        keys = {source.key for source in sources}
        found_flaws: list[Flaw] = []
        root = pictures_root(plan.dataset)
        labels = list_annotations(self.path, root, format=self.format, on_flaw=found_flaws.append)
        self.labels = rekeyed(labels, sources)
        if any(source.reader for source in sources):
            found_flaws = [replace(flaw, picture=safe_key(flaw.picture)) for flaw in found_flaws]
        self.flaws = tuple(flaw for flaw in found_flaws if not flaw.picture or flaw.picture in keys)
        self.missing = tuple(source.key for source in sources if source.key not in self.labels)
        self._check_flaws(self.flaws)
        if plan.mirror_probability:
            _check_mirror(self.labels.values())
        _check_use(plan, self.format, len(self.missing) == len(sources), self.flaws)
        if plan.faces == "boxes" and all(found.boxes is None for found in self.labels.values()):
            raise LabelError(
                f"faces='boxes' needs boxes, but {plan.annotations} has none; use faces='detect' or 'frame'"
            )

    def without_labels(self) -> Annotator:
        """Return an annotator for workers, which get the labels of their sources with their tasks."""
        small = copy(self)
        small.labels, small.missing, small.flaws = {}, (), ()
        return small

    def fit(
        self, labels: FaceLabels | None, key: str, size: tuple[int, int]
    ) -> tuple[FaceLabels | None, tuple[Flaw, ...]]:
        """Complete the labels of a source, without those that belong to an image of another size.

        Args:
            labels: labels of the source, see `labels`.
            key: key of the source.
            size: (H, W) of the source in pixels.

        Returns:
            The labels, None for a source without labels; and the annotations that were left out.

        Raises:
            LabelError: annotations belong to another size, and the plan says to raise.
        """
        flaws: list[Flaw] = []
        if labels is not None:
            labels = load_labels(labels, self.format, picture=key, on_flaw=flaws.append)
        if labels is not None:
            labels, flaws = fit(labels, size, picture=key)
        self._check_flaws(flaws)
        return labels, tuple(flaws)

    def _check_flaws(self, flaws: Sequence[Flaw]) -> None:
        if flaws and self._stops:
            raise LabelError(f"{flaws[0]}; correct it, or leave such annotations out with on_error='skip'")

    def digest(self) -> str:
        """Return the sha256 of the file, or of the names and sizes of the files in the folder."""
        if self.path.is_file():
            return sha256_of(self.path, LABELS)
        digest = hashlib.sha256()
        for path in sorted(self.path.rglob("*")):
            line = f"{path.relative_to(self.path).as_posix()}\0{file_size(path)}\n"
            digest.update(line.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def write_with(self, file: str, size: tuple[int, int], labels: FaceLabels) -> None:
        """Write the annotation file of one copy, in formats with one file per image."""
        if self._file_of is not None:
            write_annotations([(file, size, labels)], self.out, self.format, like=self.path)

    def file_with(self, row: Row) -> Path | None:
        """Return the path of a copy's annotation file by its row; None in formats with one file for all images."""
        if self._file_of is None or row.get("annotation") is None:
            return None
        return self.out / self._file_of(row["file"])

    def write_all(self, rows: Iterable[Row]) -> list[Path]:
        """Write the annotations of all copies, in formats with one file for all; rows of archives hold their own."""
        if self._file_of is not None or self.in_archives:
            return []
        with explained_rows(self.out / MANIFEST):
            return write_annotations(_entries(rows), self.out, self.format, like=self.path)


def rekeyed(labels: Annotations, sources: Iterable[SourceFile]) -> Annotations:
    """Return annotations by the keys of their sources, which differ from the names in lists and archives."""
    if not any(source.reader for source in sources):
        return labels
    return {safe_key(name): found for name, found in labels.items()}


def make_annotator(plan: ExpandPlan, sources: Sequence[SourceFile]) -> Annotator | None:
    """Read the annotations of a plan; None for a plan without annotations.

    Raises:
        ArgumentError: the plan has the format of annotations, and no annotations.
        LabelError: the annotations cannot be read, or do not fit the plan.
    """
    if plan.annotations is None and plan.annotation_format is not None:
        raise ArgumentError(
            f"annotation_format is {plan.annotation_format!r}, but there are no annotations; give annotations, too"
        )
    return None if plan.annotations is None else Annotator(plan, sources)


def _entries(rows: Iterable[Row]) -> Iterator[tuple[str, tuple[int, int], FaceLabels]]:
    for row in rows:
        if row.get("annotation") is not None:
            height, width = row["size"]
            yield row["file"], (height, width), from_plain(row["annotation"])


def _check_mirror(labels: Iterable[FaceLabels]) -> None:
    """Refuse landmarks whose left and right are not known, before anything is written."""
    for found in labels:
        for count in point_counts(found):
            if count and str(count) not in scheme_names():
                raise LabelError(
                    f"mirrored copies swap left and right landmarks, but the pairs of {count} landmarks are unknown, "
                    f"unlike those of {', '.join(scheme_names())}; leave mirror_probability at 0"
                )


def _check_use(plan: ExpandPlan, format: str, nothing_fits: bool, flaws: Sequence[Flaw]) -> None:  # noqa: FBT001
    if nothing_fits and flaws:
        raise LabelError(f"none of the annotations in {plan.annotations} can be used; the first: {flaws[0]}")
    if nothing_fits:
        raise LabelError(
            f"{plan.annotations} has no annotation of a picture of {plan.dataset}; its names must be paths below it"
        )
    if Path(plan.annotations or "").name in (SUMMARY, MANIFEST, REJECTED, SOURCES):
        raise LabelError(f"{plan.annotations} has the name of a file that fomaug writes; rename it")
    if format == "masks" and plan.format != "folder":
        raise LabelError(f"masks are separate files, which format={plan.format!r} cannot store; use format='folder'")
