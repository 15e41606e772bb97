"""The registry of annotation formats, and the functions that read and write annotations in any of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from fomaug.errors import LabelError, did_you_mean
from fomaug.files import exists
from fomaug.labels.checks import Flaw, OnFlaw, refuse
from fomaug.labels.faces import FaceLabels, Size
from fomaug.media import read_suffixes

Annotations = dict[str, FaceLabels]
Row = tuple[str, Size, FaceLabels]  # Path of a picture with slashes, its (H, W), its labels.

CSV_FILES: Final = ("file", "file_name", "path")
JSON_FILES: Final = ("file_name", "file", "path")
"""Names of the column with the path of a picture; the first that is there counts."""


@dataclass(frozen=True)
class Format:
    """An annotation format.

    Attributes:
        name: name of the format.
        claims: function of a path; True if the path looks like this format.
        read: function of the annotations' path, the pictures' folder and `on_flaw`. It returns the labels by the path
            of the picture in the folder, and calls `on_flaw` with each annotation that it cannot use.
        write: function of the rows, the output folder and the path that the labels were read from, which is None for
            new labels. It returns the paths of the files that it wrote.
        file_of: function of a picture's path in the output folder; it returns the path of the file with the picture's
            labels there. None for formats that write all labels to one file.
        list: function like `read` that leaves out large content such as pixels; None if `read` reads none.
        load: function that completes the labels of one picture from `list`; None if they are complete.
    """

    name: str
    claims: Callable[[Path], bool]
    read: Callable[[Path, Path, OnFlaw], Annotations]
    write: Callable[[Iterable[Row], Path, Path | None], list[Path]]
    file_of: Callable[[str], str] | None = None
    list: Callable[[Path, Path, OnFlaw], Annotations] | None = None
    load: Callable[[FaceLabels], FaceLabels] | None = None


FORMATS: dict[str, Format] = {}


def register(format: Format) -> Format:
    """Add a format to the registry; its name must be unique."""
    assert format.name not in FORMATS, f"format {format.name} is registered twice"
    FORMATS[format.name] = format
    return format


def read_annotations(
    path: str | Path, images_root: str | Path, *, format: str | None = None, on_flaw: OnFlaw = refuse
) -> Annotations:
    """Read the annotations of a dataset.

    Args:
        path: a COCO json file; a CSV file with columns file, x0, y0, x1, ...; a Hugging Face `metadata.jsonl`; a folder
            of `.pts` files; a folder of mask PNGs.
        images_root: folder of the pictures; names in the file are relative to it, or to the file's own folder.
        format: name of the format; None recognises it by the path.
        on_flaw: function that is called with each annotation that cannot be used and is left out; by default the first
            one raises `LabelError`. A picture whose annotations are all left out has no labels.

    Returns:
        Labels by the picture's path relative to `images_root`, with slashes.

    Raises:
        LabelError: an annotation cannot be used (see `on_flaw`), or the whole file cannot be read; the message names
            the file and the line.
    """
    path, root = Path(path), Path(images_root)
    if not exists(path):
        raise LabelError(f"there are no annotations at {path}")
    return find_format(path, format).read(path, root, on_flaw)


def list_annotations(
    path: str | Path, images_root: str | Path, *, format: str | None = None, on_flaw: OnFlaw = refuse
) -> Annotations:
    """Read annotations as `read_annotations` does, but leave the pixels of masks on the disk until `load_labels`."""
    path, root = Path(path), Path(images_root)
    if not exists(path):
        raise LabelError(f"there are no annotations at {path}")
    found = find_format(path, format)
    return (found.list or found.read)(path, root, on_flaw)


def load_labels(labels: FaceLabels, format: str, *, picture: str = "", on_flaw: OnFlaw = refuse) -> FaceLabels | None:
    """Complete the labels of one picture from `list_annotations`.

    Args:
        labels: labels of the picture.
        format: name of the format.
        picture: path of the picture, for the flaw.
        on_flaw: function that is called if the labels can no longer be read; None is then returned.
    """
    load = _by_name(format).load
    if load is None:
        return labels
    try:
        return load(labels)
    except LabelError as error:
        on_flaw(Flaw(labels.origins[0], picture, str(error)))
        return None


def write_annotations(
    rows: Iterable[Row], out: str | Path, format: str, *, like: str | Path | None = None
) -> list[Path]:
    """Write labels; each file is written completely or not at all.

    Args:
        rows: (file relative to `out`, (H, W), labels) of each picture.
        out: folder of the pictures.
        format: name of a format.
        like: path that the labels were read from; its file name, COCO categories and so on are used again.

    Returns:
        Paths of the files written, or of the folder for formats that write one file for each picture.
    """
    return _by_name(format).write(rows, Path(out), None if like is None else Path(like))


def find_format(path: Path, name: str | None = None) -> Format:
    """Find the format of annotations by their path, or by the name of the format.

    Raises:
        LabelError: no format has the name, or fits the path; or there is no such file or folder.
    """
    if name is not None:
        return _by_name(name)
    for candidate in FORMATS.values():
        if candidate.claims(path):
            return candidate
    if not exists(path):
        raise LabelError(f"there are no annotations at {path}")
    raise LabelError(
        f"the format of {path} cannot be recognised; give its name, one of {', '.join(FORMATS)}, as annotation format; "
        "convert boxes of YOLO, Pascal VOC and WIDER FACE to coco or jsonl first"
    )


def _by_name(name: str) -> Format:
    if name not in FORMATS:
        raise LabelError(
            f"no annotation format {name!r}{did_you_mean(name, FORMATS)}; the formats are {', '.join(FORMATS)}"
        )
    return FORMATS[name]


def picture_path(name: str, listed_in: Path, root: Path) -> str:
    """Find the path of a picture below the root, from its name in an annotation file.

    A link to a picture has its own path and not that of its target, since it is itself a picture of the dataset.
    """
    for base in (root, listed_in):
        for complete in (Path.absolute, Path.resolve):  # The arguments and the file may name folders through links.
            path, top = (Path(os.path.normpath(found)) for found in (complete(base) / name, complete(root)))
            try:
                if path.is_relative_to(top) and path.is_file():
                    return path.relative_to(top).as_posix()
            except (ValueError, OSError):
                continue  # No file can have this name.
    return Path(name).as_posix()


def pictures_by_stem(root: Path) -> dict[str, str]:
    """List the pictures below a folder; the keys are their paths without suffix."""
    found = [
        path.relative_to(root).as_posix() for path in sorted(root.rglob("*")) if path.suffix.lower() in read_suffixes
    ]
    return {stem_of(file): file for file in found}


def stem_of(file: str) -> str:
    """Return a path with slashes without its suffix."""
    return PurePosixPath(file).with_suffix("").as_posix()
