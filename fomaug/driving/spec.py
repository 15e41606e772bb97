"""Make or load pools by text: "builtin", "gestures", "parametric" with ranges, "views" with angles, or a path."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from fomaug.animator import Animator
from fomaug.driving.pool import DrivingPool
from fomaug.errors import ArgumentError, PoolError, did_you_mean
from fomaug.files import exists

NAMED_POOLS: Final[dict[str, Callable[..., DrivingPool]]] = {
    "builtin": DrivingPool.builtin,
    "gestures": DrivingPool.gestures,
    "parametric": DrivingPool.parametric,
    "views": DrivingPool.views,
}
"""Pools that need no file, by name."""
_EXAMPLES: Final = {
    "parametric": "parametric yaw=-20:20 pitch=-12:12",
    "views": "views yaw=-40:40:20 pitch=-20,0,20",
}
_MOST_STEPS: Final = 1000  # angles of one list
_ANGLES: Final = {"yaw": "yaw_range", "pitch": "pitch_range", "roll": "roll_range"}


def is_named_pool(text: str) -> bool:
    """Return whether a text names a pool that needs no file, alone or followed by NAME=VALUE words.

    >>> is_named_pool("parametric yaw=-20:20"), is_named_pool("gestures of mine.safetensors")
    (True, False)
    """
    name, *words = text.split() or [""]
    return name in NAMED_POOLS and all("=" in word for word in words)


def load_pool(text: str | Path, model: Animator) -> DrivingPool:
    """Make or load the driving pool that a text names.

    Args:
        text: name of a pool, with ranges in degrees for a parametric one, such as
            "parametric yaw=-20:20 pitch=-12:12 expressions=neutral,smile", and with angles for views, such as
            "views yaw=-40:40:20 pitch=-20,0,20"; or path of a pool file.
        model: animator that the pool drives.

    Raises:
        ArgumentError: a range or a list of angles is unknown or cannot be read.
        PoolError: there is no such name or file, or the pool was made by another model.
    """
    if not str(text or "").strip():
        raise PoolError(f"driving must be a pool, its name or its file, got {text!r}")
    if not is_named_pool(str(text)):
        return _read(Path(str(text)), model)
    name, *words = str(text).split()
    read = _READERS.get(name)
    if words and read is None:
        raise ArgumentError(f"pool {str(text)!r}: only parametric pools have ranges and only views have angles")
    return NAMED_POOLS[name](model, **dict(read(str(text), word) for word in words) if read else {})


def hint_on(text: str, known: Iterable[str] = NAMED_POOLS) -> str:
    """Return a hint on a text that names no pool and no file.

    >>> hint_on("bultin")
    "; did you mean 'builtin'?"
    >>> hint_on("views 40")
    "; the words after views must be NAME=VALUE, such as 'views yaw=-40:40:20 pitch=-20,0,20'"
    """
    name, *words = text.split() or [""]
    if words and name in _EXAMPLES:
        return f"; the words after {name} must be NAME=VALUE, such as {_EXAMPLES[name]!r}"
    return did_you_mean(name, known)


def _read(path: Path, model: Animator) -> DrivingPool:
    if not exists(path):
        names = ", ".join(NAMED_POOLS)
        raise PoolError(f"driving must be {names} or a pool file; there is no {str(path)!r}{hint_on(str(path))}")
    if path.is_dir():
        raise PoolError(f"{path} is a folder; make a pool of its clips first: fomaug pool build {path} -o POOL")
    return DrivingPool.load(path, model)


def _read_range(text: str, word: str) -> tuple[str, Any]:
    """Read one NAME=LOW:HIGH, or a count, a seed or a list of expressions, of a parametric pool."""
    name, _, value = word.partition("=")
    try:
        if name in _ANGLES:
            low, high = value.split(":")
            return _ANGLES[name], (float(low), float(high))
        if name in ("count", "seed"):
            return name, int(value)
    except ValueError as cause:
        raise ArgumentError(f"pool {text!r}: {word!r} is not NAME=LOW:HIGH with two numbers") from cause
    if name == "expressions":
        return name, value.split(",")
    known = (*_ANGLES, "expressions", "count", "seed")
    raise ArgumentError(f"pool {text!r}: {name!r} must be one of {', '.join(known)}{did_you_mean(name, known)}")


def _read_views(text: str, word: str) -> tuple[str, Any]:
    """Read one NAME=LOW:HIGH:STEP or NAME=ANGLE,ANGLE,..., or a list of expressions, of a pool of views."""
    name, _, value = word.partition("=")
    if name == "expressions":
        return name, value.split(",")
    if name not in _ANGLES:
        known = (*_ANGLES, "expressions")
        raise ArgumentError(f"pool {text!r}: {name!r} must be one of {', '.join(known)}{did_you_mean(name, known)}")
    try:
        return name, _steps(value) if ":" in value else [float(angle) for angle in value.split(",")]
    except ValueError as cause:
        raise ArgumentError(
            f"pool {text!r}: {word!r} is neither NAME=LOW:HIGH:STEP nor NAME=ANGLE,ANGLE,...; "
            "LOW must not be above HIGH, and STEP must be above 0"
        ) from cause


def _steps(value: str) -> list[float]:
    """List the angles from low to high; high is included if a step ends there.

    >>> _steps("-40:40:20")
    [-40.0, -20.0, 0.0, 20.0, 40.0]
    """
    low, high, step = (float(number) for number in value.split(":"))
    if not (step > 0 and low <= high and (high - low) / step <= _MOST_STEPS):
        raise ValueError(value)
    return [low + number * step for number in range(int((high - low) / step + 1e-9) + 1)]


_READERS: Final[dict[str, Callable[[str, str], tuple[str, Any]]]] = {"parametric": _read_range, "views": _read_views}
