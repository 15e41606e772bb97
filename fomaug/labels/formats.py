"""The registry of annotation formats, and what each one offers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fomaug.errors import LabelError, did_you_mean
from fomaug.files import exists
from fomaug.labels.flaws import OnFlaw, refuse
from fomaug.labels.values import FaceLabels, Size

Annotations = dict[str, FaceLabels]
Row = tuple[str, Size, FaceLabels]  # file with slashes, its (H, W), its labels


@dataclass(frozen=True)
class Format:
    """How labels of one kind are read, recognised and written.

    Attributes:
        name: to ask for it by.
        claims: whether a path looks like it.
        read: all labels below it, by the picture's path relative to the second argument. The third argument is called
            with each annotation that cannot be used, and the others are read.
        write: rows to a file or folder below the second argument; the paths written. The third argument is the path
            that the labels were read from, for what a format keeps besides them; None for new ones.
        file_of: where a format has a file for each picture, the path of that file below the output, by the picture's
            path there; None for formats that write all labels to one file.
    """

    name: str
    claims: Callable[[Path], bool]
    read: Callable[[Path, Path, OnFlaw], Annotations]
    write: Callable[[Iterable[Row], Path, Path | None], list[Path]]
    file_of: Callable[[str], str] | None = None


FORMATS: dict[str, Format] = {}


def register(format: Format) -> Format:
    """Add a format; a second one of a name is a mistake of ours."""
    assert format.name not in FORMATS, f"format {format.name} is registered twice"
    FORMATS[format.name] = format
    return format


def read_annotations(
    path: str | Path, images_root: str | Path, *, format: str | None = None, on_flaw: OnFlaw = refuse
) -> Annotations:
    """Read what a dataset says about its pictures.

    Args:
        path: a COCO json file; a CSV file with columns file, x0, y0, x1, ...; a Hugging Face `metadata.jsonl`; a folder
            of `.pts` files; a folder of mask PNGs.
        images_root: the folder of the pictures; names in the file are relative to it, or to the file's own folder.
        format: its name, where the path does not tell.
        on_flaw: function that is called with each annotation that cannot be used, which is then left out; by default
            the first one is an error. A picture that is left with none of its annotations has no labels.

    Returns:
        Labels by the picture's path relative to `images_root`, with slashes.

    Raises:
        LabelError: names file and line of what cannot be read; whatever `on_flaw` does, if nothing in the file can be.
    """
    path, root = Path(path), Path(images_root)
    if not exists(path):
        raise LabelError(f"there are no annotations at {path}")
    return find_format(path, format).read(path, root, on_flaw)


def write_annotations(
    rows: Iterable[Row], out: str | Path, format: str, *, like: str | Path | None = None
) -> list[Path]:
    """Write labels, whole or not at all.

    Args:
        rows: (file relative to `out`, (H, W), labels) of each picture.
        out: the folder of the pictures.
        format: name of a format.
        like: what the labels were read from: COCO categories, column names and such are taken over from it.

    Returns:
        The files written, or the folder for formats that write one file for each picture.
    """
    return _by_name(format).write(rows, Path(out), None if like is None else Path(like))


def find_format(path: Path, name: str | None = None) -> Format:
    """Recognise annotations by their path, or take a format by name.

    Raises:
        LabelError: if none claims it.
    """
    if name is not None:
        return _by_name(name)
    for candidate in FORMATS.values():
        if candidate.claims(path):
            return candidate
    raise LabelError(f"{path} is of no format known here ({', '.join(FORMATS)}); give its name")


def _by_name(name: str) -> Format:
    if name not in FORMATS:
        raise LabelError(f"no annotation format {name!r}{did_you_mean(name, FORMATS)}; there are {', '.join(FORMATS)}")
    return FORMATS[name]


def picture_key(name: str, listed_in: Path, root: Path) -> str:
    """The path of a picture below the root, from its name in an annotation file.

    A linked picture goes by its own name and not by that of its target, since it is a picture of the dataset, too.
    """
    for base in (root, listed_in):
        for spell in (Path.absolute, Path.resolve):  # the folders may be given, and named in the file, through links
            path, top = (Path(os.path.normpath(found)) for found in (spell(base) / name, spell(root)))
            try:
                if path.is_relative_to(top) and path.is_file():
                    return path.relative_to(top).as_posix()
            except (ValueError, OSError):
                continue  # no name that a file can have
    return Path(name).as_posix()


def by_stem(root: Path, suffixes: Iterable[str]) -> Mapping[str, str]:
    """Pictures below a folder by their path without suffix."""
    known = tuple(suffixes)
    found = (path for path in sorted(root.rglob("*")) if path.suffix.lower() in known)
    return {path.relative_to(root).with_suffix("").as_posix(): path.relative_to(root).as_posix() for path in found}
