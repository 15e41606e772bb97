"""List the pictures of an expanded dataset, originals and copies, with their labels, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any, Final

from fomaug.errors import ArgumentError, MediaError, reason_of
from fomaug.expand.dataset import SOURCES, find_sources, read_sources
from fomaug.expand.formats import load_outputs
from fomaug.expand.inputs import pictures_root
from fomaug.expand.labels import rekeyed
from fomaug.expand.manifest import Row, explained_rows, is_still, read_rows
from fomaug.expand.output import MANIFEST
from fomaug.expand.report import Failure, read_summary
from fomaug.expand.samples import path_inside, view_columns
from fomaug.expand.sources import SourceFile
from fomaug.files import PICTURE, read_regular
from fomaug.labels import Annotations, FaceLabels, Flaw, fit, from_plain, read_annotations
from fomaug.media import Provenance, upright_size
from fomaug.remote import is_url

TRAIN: Final = "train"
_WINDOW: Final = 64  # pictures of an archive that are read together

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Entry:
    """A picture that is converted.

    Attributes:
        name: path of the picture below its split, with slashes.
        split: train, val or test; train in a dataset without splits.
        label: class label; empty without one.
        size: (H, W) of the upright picture.
        source: key of the original.
        copy: number of the copy; None for an original.
        load: function that returns the bytes of the file.
        path: path of the file; None for a member of an archive, and for a re-encoded picture.
        turned: whether the EXIF orientation of the file rotates the picture.
        labels: landmarks, boxes and the like, in upright pixels; None for a picture without annotations.
        provenance: provenance mark of the copy; None for an original, and for a copy of an original without a face.
        held_out: True for an original of another split than the expanded one.
        view: columns of a copy by views, see `view_columns`; empty for all other pictures.
    """

    name: str
    split: str
    label: str
    size: Size
    source: str
    copy: int | None
    load: Callable[[], bytes]
    path: Path | None = None
    turned: bool = False
    labels: FaceLabels | None = None
    provenance: Provenance | None = None
    held_out: bool = False
    view: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class ExpandedDataset:
    """An open expanded dataset; its pictures can be listed several times.

    Attributes:
        out: folder of the expanded dataset.
        dataset: path or URL of the originals; None to leave them out.
        summary: content of expand.json.
        sources: originals, those of the expanded split first.
        num_expanded: number of originals of the expanded split.
        annotations: labels of the originals by key.
        annotations_path: path that the labels were read from; None without annotations.
        flaws: unusable annotations of originals.
        failed: unreadable originals by key.
    """

    out: Path
    dataset: str | None
    summary: Mapping[str, Any]
    sources: Sequence[SourceFile] = ()
    num_expanded: int = 0
    annotations: Annotations = field(default_factory=dict)
    annotations_path: Path | None = None
    flaws: dict[str, Flaw] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)

    @property
    def has_masks(self) -> bool:
        """Whether the labels are mask files."""
        return bool((self.summary.get("annotations") or {}).get("format") == "masks")

    def entries(self) -> Iterator[Entry]:
        """List originals and then copies, each in their order.

        Raises:
            ResumeError: the manifest is damaged.
            ArgumentError: a row names a file outside of the folder.
        """
        for number, source in enumerate(self.sources):
            entry = self._original(source, held_out=number >= self.num_expanded)
            if entry is not None:
                yield entry
        with explained_rows(self.out / MANIFEST):
            for row, load in _loaders(self.out, read_rows(self.out / MANIFEST)):
                yield self._copy(row, load)

    def _original(self, source: SourceFile, *, held_out: bool) -> Entry | None:
        try:
            size, turned = upright_size(source.path or _read(source), PurePosixPath(source.key).suffix)
        except MediaError as cause:
            self.failed[source.key] = Failure(source.key, str(cause))
            return None
        labels = self.annotations.get(source.key)
        if labels is not None:
            labels, flaws = fit(labels, size, picture=source.key)
            self.flaws |= {str(flaw): flaw for flaw in flaws}
        return Entry(
            name=source.below_split,
            split=source.split or TRAIN,
            label=source.label,
            size=size,
            source=source.key,
            copy=None,
            load=lambda: _read(source),
            path=source.path,
            turned=turned,
            labels=labels,
            held_out=held_out,
        )

    def _copy(self, row: Row, load: Callable[[], bytes]) -> Entry:
        path = path_inside(self.out, row["file"])
        height, width = row["size"]
        annotation = row.get("annotation")
        return Entry(
            name=_below_split(str(row.get("member", row["file"])), row["split"]),
            split=row["split"] or TRAIN,
            label=row["label"] or "",
            size=(height, width),
            source=row["source"],
            copy=row["copy"],
            load=load,
            path=None if "member" in row else path,
            labels=None if annotation is None else from_plain(annotation),
            provenance=None if is_still(row) else self._provenance(row),
            view=view_columns(row.get("view") or {}),
        )

    def _provenance(self, row: Row) -> Provenance:
        model = self.summary.get("model") or {}
        return Provenance(
            str(row.get("model", "")),
            model_hash=str(model.get("hash", "")),
            pool_hash=str(row["motion"].get("pool_hash", "")),
            source_hash=row["source_hash"],
            source_id=str(row.get("source_id", "")),
            source_type="composite" if row["motion"].get("box") else "generated",
        )


def open_expanded(
    out: Path, *, originals: bool, dataset: str | Path | None = None, annotations: Path | None = None
) -> ExpandedDataset:
    """Open an expanded dataset, and the dataset of its originals.

    Args:
        out: folder that `expand` wrote.
        originals: whether to list the originals, too.
        dataset: path or URL of the originals; None for the dataset that was expanded.
        annotations: path of the annotations of the originals; None for the annotations that were expanded.

    Raises:
        ResumeError: the folder is not an expanded dataset, or its job is unfinished.
        ArgumentError: the originals or their annotations are missing.
    """
    summary = read_summary(out)
    if summary.get("state") != "done":
        raise ArgumentError(f"the expansion in {out} is unfinished; complete it with fomaug expand --resume")
    if not originals:
        return ExpandedDataset(out, None, summary)
    given = summary.get("given") or {}
    folder = str(dataset or given.get("dataset") or "")
    listed = list(read_sources(Path(folder), out / SOURCES))
    if not folder or not (is_url(folder) or any(source.reader for source in listed) or Path(folder).is_dir()):
        raise ArgumentError(f"the originals are not in {folder}; give their folder as dataset, or include_sources=none")
    path = annotations or (Path(given["annotations"]) if given.get("annotations") else None)
    opened = ExpandedDataset(out, folder, summary, num_expanded=len(listed), annotations_path=path)
    opened.sources = [*listed, *_held_out(folder, out, path, listed)]
    if path is not None:
        labels = _annotations(path, pictures_root(folder), summary, opened.flaws)
        opened.annotations = rekeyed(labels, listed)
    return opened


def _held_out(folder: str, out: Path, annotations: Path | None, listed: Iterable[SourceFile]) -> Iterator[SourceFile]:
    """List the originals of the other splits; a dataset without splits has none."""
    splits = {source.split for source in listed}
    if "" in splits:
        return
    found = find_sources(folder, out=out, split="all", annotations=None if annotations is None else str(annotations))
    yield from (source for source in found.chosen if source.split and source.split not in splits)


def _annotations(path: Path, folder: Path, summary: Mapping[str, Any], flaws: dict[str, Flaw]) -> Annotations:
    if not path.exists():
        raise ArgumentError(f"the annotations of the originals are not at {path}; give their path as annotations")

    def note(flaw: Flaw) -> None:
        flaws[str(flaw)] = flaw

    format = (summary.get("settings") or {}).get("annotation_format")
    return read_annotations(path, folder, format=format, on_flaw=note)


def _below_split(name: str, split: str | None) -> str:
    parts = PurePosixPath(name).parts[bool(split) :]
    if not parts or ".." in parts or PurePosixPath(*parts).is_absolute():
        raise ArgumentError(f"{name!r} is not a path below a dataset")
    return str(PurePosixPath(*parts))


def _read(source: SourceFile) -> bytes:
    try:
        return source.read()
    except OSError as cause:
        raise MediaError(f"cannot be read: {reason_of(cause)}") from cause


def _read_file(path: Path) -> bytes:
    try:
        return read_regular(path, PICTURE)
    except OSError as cause:
        raise MediaError(f"cannot be read: {reason_of(cause)}") from cause


class _Window:
    """Consecutive members of one archive; all are read when the first is needed."""

    open: _Window | None = None

    def __init__(self, out: Path, rows: Sequence[Row]) -> None:
        self.out, self.rows = out, rows
        self.contents: list[bytes] = []

    def read(self, number: int) -> bytes:
        """Return the bytes of a member, and free the members of the previous window."""
        if not self.contents:
            if _Window.open is not None:
                _Window.open.contents = []
            _Window.open, self.contents = self, load_outputs(self.out, self.rows)
        return self.contents[number]


def _loaders(out: Path, rows: Iterable[Row]) -> Iterator[tuple[Row, Callable[[], bytes]]]:
    """Pair each row with the function that reads its picture."""
    for (file, archived), group in groupby(rows, lambda row: (row["file"], "member" in row)):
        if not archived:
            yield from ((row, _file_loader(path_inside(out, file))) for row in group)
            continue
        members: list[Row] = []
        for row in group:
            members.append(row)
            if len(members) == _WINDOW:
                yield from _window_loaders(out, members)
                members = []
        yield from _window_loaders(out, members)


def _file_loader(path: Path) -> Callable[[], bytes]:
    return lambda: _read_file(path)


def _window_loaders(out: Path, rows: list[Row]) -> Iterator[tuple[Row, Callable[[], bytes]]]:
    window = _Window(out, rows)
    for number, row in enumerate(rows):
        yield row, _member_loader(window, number)


def _member_loader(window: _Window, number: int) -> Callable[[], bytes]:
    return lambda: window.read(number)
