"""Labels of clips: names of their motions, from a mapping, a CSV file or the names of folders."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from fomaug.errors import LabelError, did_you_mean, reason_of
from fomaug.files import TABLE, open_text

Labels = Mapping[str, str] | str | Path | None


def resolve_labels(labels: Labels, clips: Mapping[str, Path]) -> dict[str, str | None]:
    """Find the label of every clip.

    Args:
        labels: labels by clip name, file name or the end of the path; a CSV file with columns `clip,label`; "folders"
            for the name of each clip's folder; or None.
        clips: path of every clip by its name.

    Returns:
        The label of every clip by its name; None for clips without one.

    Raises:
        LabelError: a label is for an unknown clip, or the file cannot be read.

    >>> resolve_labels({"a.mp4": "nod"}, {"a": Path("clips/a.mp4"), "b": Path("clips/b.mp4")})
    {'a': 'nod', 'b': None}
    """
    if labels is None:
        return dict.fromkeys(clips)
    if labels == "folders":
        return {name: path.absolute().parent.name for name, path in clips.items()}
    given = labels if isinstance(labels, Mapping) else read_labels(Path(labels))
    found: dict[str, str | None] = dict.fromkeys(clips)
    for key, label in given.items():
        names = [name for name, path in clips.items() if _matches(key, name, path)]
        if not names:
            known = [word for name, path in clips.items() for word in (name, path.name)]
            raise LabelError(f"the label {label!r} is for {key!r}, but there is no such clip{did_you_mean(key, known)}")
        found.update(dict.fromkeys(names, label))
    return found


def read_labels(path: Path) -> dict[str, str]:
    """Read a CSV file with columns `clip,label`."""
    try:
        with open_text(path, TABLE, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"cannot read the labels in {path} ({reason_of(error)})") from error
    if not rows or not {"clip", "label"} <= set(rows[0]):
        raise LabelError(f"{path} must have the header line `clip,label` and at least one row")
    if bad := next((number for number, row in enumerate(rows, 2) if not row["clip"] or row["label"] is None), None):
        raise LabelError(f"{path}, line {bad}: expected a clip and its label")
    return {row["clip"].strip(): row["label"].strip() for row in rows}


def _matches(key: str, name: str, path: Path) -> bool:
    return key in (name, path.name) or path.as_posix().endswith(f"/{key}")
