"""The card and the contact sheet of an expanded dataset, which describe it to loaders and to people.

Without the card, a README.md, Hugging Face datasets would treat a folder called `test` among classes as a split, and
the numbers of classes in tar files would have no names. The YAML head of the card has both facts, so that
`load_dataset(OUT)` need not guess. The rows of the contact sheet are sources, its columns their copies.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import yaml
from numpy.typing import NDArray

from fomaug import __version__
from fomaug.errors import MediaError, reason_of
from fomaug.expand.formats import load_outputs
from fomaug.expand.manifest import Row, is_still
from fomaug.expand.output import CARD, CONTACT_SHEET, THUMBNAILS
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.report import Failure
from fomaug.expand.samples import CELL, MOST_SHOWN, SUFFIXES, thumbnail_name, thumbnail_of
from fomaug.expand.sources import SourceFile
from fomaug.files import PICTURE, read_regular, write_file
from fomaug.media import Provenance, contact_sheet, read_picture, save_image, written_format

_SPLITS: Final = {"train": "train", "val": "validation", "test": "test"}
_ARCHIVES: Final = {"webdataset": "tar", "parquet": "parquet"}
_JSON: Final = {"source": "string", "source_id": "string", "copy": "int64", "label": "string", "hash": "string"}
"""Entries of the rows in tar files that every row has, with their types in Hugging Face datasets."""
_ARCHIVED: Final = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"}
_ORIGINALS: Final = """
The originals are here, too, unchanged and without a mark; in `manifest.jsonl`, their rows have `"original": true`.
"""
_READERS: Final = {
    "folder": "`torchvision.datasets.ImageFolder`",
    "webdataset": "`webdataset.WebDataset`",
    "parquet": "any reader of parquet",
}


def save_card(
    plan: ExpandPlan, sources: Sequence[SourceFile], classes: Sequence[str], *, metadata: bool = False
) -> None:
    """Write the card of an output folder, unless it exists, because users may have edited it.

    Args:
        plan: settings of the job.
        sources: source files.
        classes: labels of all copies, as archives number them.
        metadata: whether the annotations are in `metadata.jsonl`, which datasets reads with the pictures.
    """
    path = Path(plan.out) / CARD
    if not path.exists():
        head = make_head(plan, sources, classes, metadata=metadata)
        text = f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n\n{_body(plan)}"
        write_file(path, text.encode("utf-8", "backslashreplace"), durable=True)


def make_head(
    plan: ExpandPlan, sources: Sequence[SourceFile], classes: Sequence[str], *, metadata: bool = False
) -> dict[str, Any]:
    """Make the YAML head of a card, see `save_card`."""
    originals = plan.include_sources != "none"
    files = _folder_files(sources, originals=originals) if plan.format == "folder" else _archive_files(plan, sources)
    config: dict[str, Any] = {"config_name": "default", "default": True}
    if plan.format == "folder" and metadata and set(files) == {"train"} and not any(source.split for source in sources):
        files["train"].append("metadata.jsonl")
    elif plan.format == "folder" and classes:
        # Classes are the folders directly above the pictures; datasets would use other folders.
        config["drop_labels"] = not all(source.label and not source.folder for source in sources)
    config["data_files"] = [{"split": split, "path": paths} for split, paths in files.items()]
    head = {"tags": ["synthetic", "fomaug"], "configs": [config]}
    return head | ({"dataset_info": _tar_info(plan, sources, classes)} if plan.format == "webdataset" else {})


def _folder_files(sources: Sequence[SourceFile], *, originals: bool) -> dict[str, list[str]]:
    folders = sorted({(source.split, source.split_folder) for source in sources if source.split})
    if not folders:
        own = {PurePosixPath(source.key).suffix for source in sources} if originals else set[str]()
        return {"train": [f"**/*{suffix}" for suffix in sorted({*SUFFIXES.values(), *own})]}
    files: dict[str, list[str]] = {}
    for split, folder in folders:
        files.setdefault(_SPLITS[split], []).append(f"{folder}/**")
    return files


def _archive_files(plan: ExpandPlan, sources: Iterable[SourceFile]) -> dict[str, list[str]]:
    suffix = _ARCHIVES[plan.format]
    splits = sorted({source.split for source in sources} - {""})
    return {_SPLITS[split]: [f"{split}/*.{suffix}"] for split in splits} or {"train": [f"train-*.{suffix}"]}


def _tar_info(plan: ExpandPlan, sources: Iterable[SourceFile], classes: Sequence[str]) -> dict[str, Any]:
    """Describe the members of tar files: datasets would expect those of the first file in all files."""
    keys = [PurePosixPath(source.key) for source in sources]
    if plan.image_format == "same":
        members = {SUFFIXES[written_format(key.suffix)] for key in keys}
    else:
        members = {SUFFIXES[plan.image_format]}
    if plan.include_sources != "none":
        members |= {archived_suffix(key.suffix) for key in keys}
    numbers = {"class_label": {"names": {str(number): name for number, name in enumerate(classes)}}}
    return {
        "features": [
            *({"name": suffix.removeprefix("."), "dtype": "image"} for suffix in sorted(members)),
            *([{"name": "cls", "dtype": numbers}] if classes else []),
            {"name": "json", "struct": [{"name": name, "dtype": kind} for name, kind in _JSON.items()]},
            {"name": "__key__", "dtype": "string"},
            {"name": "__url__", "dtype": "string"},
        ]
    }


def archived_suffix(suffix: str) -> str:
    """Return the one suffix that all members of an image format have.

    >>> archived_suffix(".JPEG"), archived_suffix(".webp")
    ('.jpg', '.webp')
    """
    return _ARCHIVED.get(suffix.lower(), suffix.lower())


def _body(plan: ExpandPlan) -> str:
    name = Path(plan.dataset).resolve().name
    has_originals = plan.include_sources != "none"
    title = f"{name} with synthetic copies" if has_originals else f"Synthetic copies of {name}"
    originals = _ORIGINALS if has_originals else ""
    rows = "a row for each copy and each original" if has_originals else "a row for each copy"
    return f"""# {title}

fomaug {__version__} made these copies of the pictures in `{name}` with the model {plan.model}. Each face moves as
that of a driving clip does. Every animated copy is marked as synthetic in its file (`fomaug verify`).
{originals}
![Some pictures, left, and their copies]({CONTACT_SHEET})

Read the folder with `datasets.load_dataset(FOLDER)`, with {_READERS[plan.format]}, or convert it with `fomaug convert`.

| file | content |
| --- | --- |
| `manifest.jsonl` | {rows}: its file, source, class, split, scores and motion |
| `rejected.jsonl` | a row for each copy that the quality gates rejected |
| `sources.jsonl` | a row for each picture that the dataset had when the job began |
| `expand.json` | settings, model, counts, and everything that could not be used |
| `{CONTACT_SHEET}` | some pictures and their copies; hidden, since loaders read every picture as a sample |
"""


def save_contact_sheet(
    out: Path,
    copies: Mapping[str, Sequence[Row]],
    sources: Sequence[SourceFile],
    provenance: Provenance,
    *,
    url: str = "",
) -> tuple[Path | None, list[Failure]]:
    """Save an image of some sources and their copies; pictures are decoded one by one, and only thumbnails are kept.

    A sheet with only unchanged copies has no provenance mark. Sources and copies that cannot be read, such as deleted
    ones, are left out.

    Args:
        out: folder of the expanded dataset.
        copies: rows of the copies to show, by the key of their source, see `choose_sources`.
        sources: source files.
        provenance: provenance mark of the sheet.
        url: URL of the archives, if they are not in the folder.

    Returns:
        The path of the sheet, None for an empty one; and the sources that were left out.
    """
    originals = {source.key: source for source in sources if source.key in copies}
    pictures: list[list[NDArray[np.uint8]]] = []
    unshown: list[Failure] = []
    for key, rows in copies.items():
        if not rows:
            continue
        try:
            source = _read_source(originals[key])
            pictures.append([source, *_read_copies(out, url, rows)])
        except MediaError as cause:
            unshown.append(Failure(key, f"its copies are written, but it is not on the contact sheet: {cause}"))
    if not pictures:
        return None, unshown
    mark = None if all(is_still(row) for rows in copies.values() for row in rows) else provenance
    return save_image(out / CONTACT_SHEET, contact_sheet(pictures, cell=CELL), provenance=mark), unshown


def choose_sources(keys: Sequence[str], most: int = MOST_SHOWN) -> list[str]:
    """Choose keys at even distances; every class has one key before any class has two."""
    seen: dict[str, int] = {}
    order = []
    for index, key in enumerate(keys):
        folder = key.rpartition("/")[0]
        order.append((seen.get(folder, 0), index))
        seen[folder] = seen.get(folder, 0) + 1
    first = sorted(index for round_, index in order if round_ == 0)
    if len(first) < most:
        first = [index for _, index in sorted(order)][: max(most, len(first))]
    step = max(1.0, len(first) / most)
    return [keys[first[int(number * step)]] for number in range(min(most, len(first)))]


def _read_source(source: SourceFile) -> NDArray[np.uint8]:
    try:
        content = source.read()
    except OSError as cause:
        raise MediaError(f"cannot be read: {reason_of(cause)}") from cause
    return thumbnail_of(content, source.key)


def _read_copies(out: Path, url: str, rows: Sequence[Row]) -> list[NDArray[np.uint8]]:
    """Return the thumbnails of copies: those that were kept, and those of files; every archive is opened once."""
    kept = [kept_thumbnail(out, row) for row in rows]
    members = [row for row, found in zip(rows, kept, strict=True) if found is None and "member" in row]
    contents = dict(zip(map(_member, members), load_outputs(url or out, members), strict=True))
    return [_read(out, row, contents) if found is None else found for row, found in zip(rows, kept, strict=True)]


def _member(row: Row) -> tuple[str, str]:
    return row["file"], row["member"]


def _read(out: Path, row: Row, contents: Mapping[tuple[str, str], bytes]) -> NDArray[np.uint8]:
    if "member" in row:
        return thumbnail_of(contents[_member(row)], row["member"])
    try:
        return thumbnail_of(read_regular(out / row["file"], PICTURE), row["file"])
    except (MediaError, OSError) as cause:
        reason = str(cause) if isinstance(cause, MediaError) else f"cannot be read: {reason_of(cause)}"
        raise MediaError(f"its copy {row['file']} {reason}") from cause


def kept_thumbnail(out: Path, row: Row) -> NDArray[np.uint8] | None:
    """Return the thumbnail of a copy; None if it was not kept, or is damaged."""
    path = out / thumbnail_name(row)
    try:
        return read_picture(path).rgb if path.is_file() else None
    except MediaError:
        return None


def remove_thumbnails(out: Path) -> None:
    """Remove the thumbnails of a job that has its sheet."""
    shutil.rmtree(out / THUMBNAILS, ignore_errors=True)
