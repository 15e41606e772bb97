"""Checks of manifest rows, which may have been edited or come from an unknown source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fomaug.errors import shortened

Kinds = Mapping[str, tuple[type, ...]]

_TEXT: Final = (str, type(None))
_ROW: Final[Kinds] = {
    "source": (str,),
    "copy": (int,),
    "file": (str,),
    "bytes": (int,),
    "label": _TEXT,
    "split": _TEXT,
    "size": (list,),
    "source_hash": (str,),
    "motion": (dict,),
}
_ORIGINAL: Final[Kinds] = {
    **{name: _ROW[name] for name in ("source", "file", "bytes", "label", "split", "size")},
    "original": (bool,),
}
_REJECTED: Final[Kinds] = {"source": (str,), "copy": (int,), "reasons": (list,)}
_MOTION: Final[Kinds] = {
    "skipped": (bool,),
    "clip": (str,),
    "clip_hash": (str,),
    "driver": (str,),
    "strength": (int, float),
}
_OPTIONAL: Final[Kinds] = {
    "member": (str,),
    "scores": (dict,),
    "annotation": (dict, type(None)),
    "flaws": (list,),
    "view": (dict,),
}


def check_row(row: Any) -> None:
    """Check a row of the manifest.

    Raises:
        KeyError: a field is missing.
        ValueError: a field has another type.
    """
    _check_fields("the row", row, _ROW)
    _check_optional(row)
    others = row["motion"].get("others", ())
    if not isinstance(others, list | tuple):
        raise ValueError(f"others must be a list, got {shortened(others)}")
    for motion in (row["motion"], *others):
        _check_fields("a motion", motion, _MOTION)
    _check_flaws(row.get("flaws", []))


def check_original(row: Any) -> None:
    """Check a row of an original, see `check_row`."""
    _check_fields("the row", row, _ORIGINAL)
    _check_optional(row)


def check_rejected(row: Any) -> None:
    """Check a row of a rejected copy, see `check_row`."""
    _check_fields("the row", row, _REJECTED)
    if not all(isinstance(reason, str) and reason.split() for reason in row["reasons"]):
        raise ValueError(f"reasons must be texts, got {shortened(row['reasons'])}")
    _check_flaws(row.get("flaws", []))


def _check_optional(row: dict[str, Any]) -> None:
    _check_fields("the row", row, {name: kinds for name, kinds in _OPTIONAL.items() if name in row})
    if len(row["size"]) != 2 or not all(type(side) is int for side in row["size"]):
        raise ValueError(f"size must be two whole numbers, got {shortened(row['size'])}")


def _check_flaws(flaws: Any) -> None:
    pairs = isinstance(flaws, list) and all(isinstance(flaw, list) and len(flaw) == 2 for flaw in flaws)
    if not pairs or not all(isinstance(text, str) for flaw in flaws for text in flaw):
        raise ValueError(f"flaws must be pairs of texts, got {shortened(flaws)}")


def _check_fields(name: str, found: Any, wanted: Kinds) -> None:
    if not isinstance(found, dict):
        raise ValueError(f"{name} must be a JSON object, got {shortened(found)}")
    for field, kinds in wanted.items():
        value = found[field]
        # In Python a bool is an int; in JSON it is not.
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"{field} must be {expected}, got {shortened(value)}")
