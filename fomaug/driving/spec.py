"""Driving pools by name: "builtin", "gestures", "parametric" with ranges, or the path of a pool file."""

from __future__ import annotations

from collections.abc import Callable
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
}
"""Pools that need no file, by name."""
_ANGLES: Final = {"yaw": "yaw_range", "pitch": "pitch_range", "roll": "roll_range"}


def is_named_pool(text: str) -> bool:
    """Whether a text is the name of a pool that needs no file, alone or with NAME=VALUE words behind it.

    >>> is_named_pool("parametric yaw=-20:20"), is_named_pool("gestures of mine.safetensors")
    (True, False)
    """
    name, *words = text.split() or [""]
    return name in NAMED_POOLS and all("=" in word for word in words)


def load_pool(text: str | Path, model: Animator) -> DrivingPool:
    """Make or read the driving pool that a text names.

    Args:
        text: name of a pool, with ranges in degrees for a parametric one, such as
            "parametric yaw=-20:20 pitch=-12:12 expressions=neutral,smile"; or path of a pool file.
        model: animator that the pool drives.

    Raises:
        ArgumentError: a range of a parametric pool is unknown or no range.
        PoolError: no pool has this name and there is no such file, or the pool belongs to another model.
    """
    if not is_named_pool(str(text)):
        return _read(Path(text), model)
    name, *words = str(text).split()
    if words and name != "parametric":
        raise ArgumentError(f"pool {str(text)!r}: only parametric pools take ranges, {name} takes none")
    return NAMED_POOLS[name](model, **dict(_read_range(str(text), word) for word in words))


def _read(path: Path, model: Animator) -> DrivingPool:
    if not exists(path):
        raise PoolError(
            f"driving must be {', '.join(NAMED_POOLS)} or a pool file; there is no {str(path)!r}"
            f"{did_you_mean(str(path).partition(' ')[0], NAMED_POOLS)}"
        )
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
