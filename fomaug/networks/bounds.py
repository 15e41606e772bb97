"""Types and ranges of the values in a configuration, which are checked before networks are built.

Configurations may come from unknown sources. Every number has a range, because building a network of extreme numbers
would take minutes or gigabytes, even without weights. The ranges are wide enough for any model of faces.
"""

from __future__ import annotations

import math
from typing import Final

from fomaug.errors import ArgumentError, shortened

LARGEST_SIDE: Final = 1024  # Largest side of images and grids; official models use 256.
MOST_BLOCKS: Final = 64  # Most consecutive blocks at one resolution; official models have 6.
MOST_LEVELS: Final = 10  # Most halvings of the resolution; official models have 5.
_MOST_ENTRIES: Final = 64  # Most entries of a list of numbers.

_TYPES: Final[dict[str, tuple[str, tuple[type, ...]]]] = {
    "int": ("a whole number", (int,)),
    "float": ("a number", (int, float)),
    "bool": ("true or false", (bool,)),
}
_LISTS: Final = {"tuple[float, ...]": "float", "tuple[float, float]": "float", "tuple[int, ...]": "int"}
_CHECKED_ELSEWHERE: Final = ("widths", "mouth", "nose")  # The light configuration checks these itself.
_WIDTHS: Final = (1, 4096)
_BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "num_kp": (1, 1024),
    "num_channels": (1, 4),
    "block_expansion": _WIDTHS,
    "max_features": _WIDTHS,
    "num_blocks": (1, MOST_LEVELS),
    "num_down_blocks": (0, MOST_LEVELS),
    "num_bottleneck_blocks": (0, MOST_BLOCKS),
    "encoder_blocks": (0, MOST_BLOCKS),
    "decoder_blocks": (0, MOST_BLOCKS),
    "pad": (0, 64),
    "temperature": (1e-6, 1e6),
    "scale_factor": (1 / 64, 1),
    "kp_variance": (1e-8, 1e3),
    "variance": (1e-8, 1e3),
    "residual": (0, 10),
    "points_tps": (1, 64),
    "sigma_affine": (0, 10),
    "sigma_tps": (0, 10),
    "seed": (0, 2**63 - 1),
}
_ANY_WHOLE: Final = (-(2**31), 2**31 - 1)
_ANY_NUMBER: Final = (-1e9, 1e9)


def check_value(name: str, value: object, annotation: str) -> None:
    """Check the type and the range of a number, a boolean or a list of numbers; other values are not checked.

    Args:
        name: section and key, such as "common_params.num_kp".
        value: value in the file.
        annotation: type annotation of the field, as a string.

    Raises:
        ArgumentError: the value has another type, or is out of range.
    """
    key = name.rpartition(".")[2]
    if annotation in _TYPES:
        _check_number(name, value, annotation)
    elif annotation in _LISTS and key not in _CHECKED_ELSEWHERE:
        _check_list(name, value, annotation)


def check_side(name: str, value: object) -> int | None:
    """Check the side of an image, and return it; None stands for a model of any size.

    Raises:
        ArgumentError: the side is not a whole number of pixels in range.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_SIDE:
        raise ArgumentError(f"{name} must be a whole number from 1 to {LARGEST_SIDE}, got {shortened(value)}")
    return value


def check_divisible(name: str, side: int, halvings: int) -> None:
    """Check that a side can be halved as often as a network halves it.

    Args:
        name: name of the network in error messages.
        side: side of the network's input in pixels.
        halvings: number of halvings.

    Raises:
        ArgumentError: the side is not a multiple of 2 ** halvings.
    """
    if side % 2**halvings:
        raise ArgumentError(f"{name} works on {side} pixels, which must be a multiple of {2**halvings}")


def _check_number(name: str, value: object, annotation: str) -> None:
    expected, types = _TYPES[annotation]
    if not isinstance(value, types) or (isinstance(value, bool) and annotation != "bool"):
        hint = "; YAML reads 2e-4 as a string, write 2.0e-4" if isinstance(value, str) else ""
        raise ArgumentError(f"{name} must be {expected}, got {shortened(value)}{hint}")
    if annotation == "bool":
        return
    assert isinstance(value, int | float)
    least, most = _BOUNDS.get(name.rpartition(".")[2], _ANY_WHOLE if annotation == "int" else _ANY_NUMBER)
    if not least <= value <= most:  # A NaN is an error, too.
        raise ArgumentError(f"{name} must be {expected} from {least:.12g} to {most:.12g}, got {shortened(value)}")


def _check_list(name: str, value: object, annotation: str) -> None:
    pair = annotation == "tuple[float, float]"
    if not isinstance(value, list | tuple) or len(value) > _MOST_ENTRIES or (pair and len(value) != 2):
        count = "two numbers" if pair else f"a list of up to {_MOST_ENTRIES} numbers"
        raise ArgumentError(f"{name} must be {count}, got {shortened(value)}")
    for entry in value:
        _check_number(name, entry, _LISTS[annotation])


def resolution(size: int, scale_factor: float) -> int:
    """Return the side of an image that is reduced to every n-th pixel.

    >>> resolution(256, 0.25)
    64
    """
    return math.ceil(size / round(1 / scale_factor))
