"""The classes of all errors that fomaug raises, and helpers for their messages."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Mapping

_MOST_BITS = 1024  # of a number that is written out


class FomaugError(Exception):
    """Base class of all errors that fomaug raises."""


class ArgumentError(FomaugError, ValueError):
    """An argument has an invalid value."""


class ShapeError(ArgumentError):
    """A tensor or array has an invalid shape or dtype."""


class WeightsError(FomaugError, ValueError):
    """A model file is damaged, of another kind, or does not fit its configuration."""


class ModelNotFoundError(FomaugError, FileNotFoundError):
    """There is no model with this name or path."""


class PoolError(FomaugError, ValueError):
    """A driving pool is damaged, empty, or was made for another model."""


class MediaError(FomaugError, ValueError):
    """An image or a clip cannot be read."""


class LabelError(FomaugError, ValueError):
    """A label file or value cannot be read or moved."""


class ResumeError(FomaugError, RuntimeError):
    """A job cannot be resumed from its output folder."""


class UnsafeFileError(FomaugError, OSError):
    """A file is not a regular file, such as a pipe or a device, or is larger than any file of its kind.

    Raised as `UnsafeFileError(errno, reason, path)`, like every `OSError`.
    """

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


class MissingExtraError(FomaugError, ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; run: pip install 'fomaug[{extra}]'")
        self.package = package
        self.extra = extra


def reason_of(error: BaseException) -> str:
    """Return the reason of an error without the name of the file, which the caller adds; never an empty text.

    >>> reason_of(FileNotFoundError(2, "No such file or directory", "a.png"))
    'No such file or directory'
    >>> reason_of(EOFError()), reason_of(KeyError("size"))
    ('it ends too early', "KeyError: 'size'")
    """
    if isinstance(error, EOFError) and not str(error):
        return "it ends too early"
    if isinstance(error, KeyError):
        return f"KeyError: {error}"
    return getattr(error, "strerror", None) or str(error).strip() or type(error).__name__


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint on the nearest known word; empty if none is near.

    >>> did_you_mean("strenght", ["strength", "seed"])
    "; did you mean 'strength'?"
    >>> did_you_mean("zzz", ["strength"])
    ''
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def check_choice(name: str, value: object, known: Iterable[str]) -> None:
    """Raise `ArgumentError` unless the value is one of the known words.

    >>> check_choice("crop", "face", ["face", "frame"])
    """
    if value not in (known := tuple(known)):
        hint = did_you_mean(value, known) if isinstance(value, str) else ""
        raise ArgumentError(f"{name} must be one of {', '.join(known)}, got {value!r}{hint}")


def check_mapping(values: object, known: Iterable[str], whole: str, entry: str) -> None:
    """Raise `ArgumentError` unless a value is a mapping with known names only.

    Args:
        values: value to check.
        known: allowed names.
        whole: beginning of the message about a value that is no mapping.
        entry: beginning of the message about an unknown name, which replaces the braces in it.

    >>> check_mapping({"seed": 1}, ["seed"], "options must be a mapping of their names", "unknown option {}")
    """
    if not isinstance(values, Mapping):
        raise ArgumentError(f"{whole}, got {shortened(values)}")
    known = tuple(known)
    for name in values:
        if name not in known:
            raise ArgumentError(f"{entry.format(repr(name))}{did_you_mean(name, known)}")


def shortened(value: object) -> str:
    """Return a short text for a value of any size; a few hundred bytes of YAML can expand to gigabytes.

    >>> shortened("4")
    "'4'"
    >>> shortened([[["x"] * 9] * 9] * 9)
    '[[[...], [...], [...], [...], [...], [...], ...], [[...], [...], [...], [...], [...], [...], ...], ...]'
    """
    return _SHORT.repr(value)


class _Shortened(reprlib.Repr):
    """A representation of two levels of containers, the first entries of each, and the beginnings of strings."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxtuple, self.maxdict, self.maxset = 2, 6, 6, 6, 6
        self.maxstring, self.maxother, self.maxlong = 80, 80, 80

    def repr_int(self, x: int, level: int) -> str:
        # Python raises an error for numbers of thousands of digits.
        return super().repr_int(x, level) if x.bit_length() < _MOST_BITS else "a number of hundreds of digits"


_SHORT = _Shortened()
