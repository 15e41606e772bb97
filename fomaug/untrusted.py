"""Read JSON and safetensors files from unknown sources: limits are checked, and errors name the file and the reason."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from safetensors import SafetensorError, safe_open

from fomaug.errors import FomaugError
from fomaug.files import Kind, open_regular

_MOST_DIGITS: Final = 308  # Most digits of a whole number that a float can represent.
_DEEPEST: Final = 200  # Deepest nesting of lists.


def load_json(content: bytes | str, name: object, error: type[FomaugError], *, finite: bool = True) -> Any:
    """Load JSON in UTF-8, with or without a byte order mark.

    A whole number that no float can represent becomes infinite, like `Infinity` and `1e999`.

    Args:
        content: text, or its bytes.
        name: path of the file, with the line if there are several texts, for error messages.
        error: class of the errors.
        finite: whether NaN and infinite numbers are errors; otherwise they become floats, which the caller must check.

    Raises:
        FomaugError: the text is not JSON, or a number is not finite; the error has the class `error`.

    >>> load_json(b'{"a": [1, 2.5]}', "a.json", FomaugError)
    {'a': [1, 2.5]}
    """
    try:
        text = content.decode("utf-8") if isinstance(content, bytes) else content
        value = json.loads(text.removeprefix("\ufeff"), parse_int=_whole)
        if finite:
            check_finite(value)
    except UnicodeDecodeError as cause:
        raise error(f"{name}: it is not in UTF-8 (byte {cause.start})") from cause
    except json.JSONDecodeError as cause:
        line = f", line {cause.lineno}" if "\n" in text or isinstance(content, bytes) else ""
        raise error(f"{name}{line}: it is not JSON: {cause.msg} (column {cause.colno})") from cause
    except RecursionError as cause:
        raise error(f"{name}: its lists are nested too deeply") from cause
    except ValueError as cause:
        raise error(f"{name}: {cause}") from cause
    return value


def check_finite(value: Any, *, nan: bool = False, depth: int = _DEEPEST) -> None:
    """Raise ValueError if a number in some JSON is not finite, or its lists are nested too deeply.

    Args:
        value: dicts, lists and plain values.
        nan: whether to allow NaN, which Python's own writers use for a missing number.
        depth: allowed depth of nested lists.
    """
    if isinstance(value, float):
        if math.isinf(value) or (math.isnan(value) and not nan):
            raise ValueError(f"a number is not finite: {value}")
    elif isinstance(value, dict | list):
        if not depth:
            raise ValueError("its lists are nested too deeply")
        for part in value.values() if isinstance(value, dict) else value:
            check_finite(part, nan=nan, depth=depth - 1)


def without_nan(value: Any) -> Any:
    """Replace each NaN in some JSON by null, since NaN is not JSON."""
    if isinstance(value, dict):
        return {name: without_nan(part) for name, part in value.items()}
    if isinstance(value, list):
        return [without_nan(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


@contextmanager
def open_tensors(path: Path, kind: Kind, *, most_header: int) -> Iterator[Any]:
    """Open a safetensors file; only its header is read.

    Args:
        path: path of the file.
        kind: kind of the file, which limits its size.
        most_header: largest length of the header in bytes, which is checked before the header is parsed.

    Yields:
        The file of the library safetensors, whose tensors are on the CPU.

    Raises:
        UnsafeFileError: the file is not regular, or larger than the limit of its kind.
        OSError: the file cannot be opened.
        SafetensorError: the file is not an intact safetensors file.
    """
    with open_regular(path, kind) as file:
        length = int.from_bytes(file.read(8), "little")
        most = min(most_header, os.fstat(file.fileno()).st_size - 8)
        if not 2 <= length <= most:
            raise SafetensorError(f"its header has {length} bytes, 2 to {max(most, 2)} were expected")
        with safe_open(_name_of(file, path), framework="pt") as tensors:
            yield tensors


def _name_of(file: BinaryIO, path: Path) -> Path:
    """Return a name of an open file that remains valid if another file gets the path.

    The library safetensors opens only paths. Linux and macOS have paths of open files; Windows does not allow another
    file at the path of an open one.
    """
    name = Path(f"/dev/fd/{file.fileno()}")
    try:
        return name if os.path.samestat(name.stat(), os.fstat(file.fileno())) else path
    except OSError:
        return path
