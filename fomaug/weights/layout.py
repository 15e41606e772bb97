"""Names, shapes and kinds of tensors, compared before a tensor is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from torch import Tensor

from fomaug.errors import WeightsError, shortened

_FLOATS: Final = ("float16", "bfloat16", "float32", "float64")
_WHOLE: Final = ("int64", "int32", "int16", "int8", "uint8")


class Layout(NamedTuple):
    """What a tensor is, without its numbers.

    Attributes:
        shape: its sizes.
        dtype: name of its kind of numbers, such as "float32".
    """

    shape: tuple[int, ...]
    dtype: str


def layouts(tensors: Mapping[str, Tensor]) -> dict[str, Layout]:
    """Describe tensors.

    >>> import torch
    >>> layouts({"bias": torch.zeros(3)})
    {'bias': Layout(shape=(3,), dtype='float32')}
    """
    return {
        name: Layout(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")) for name, tensor in tensors.items()
    }


def compare(expected: Mapping[str, Tensor], found: Mapping[str, Layout], origin: str) -> None:
    """Hold what a file has against what the networks need.

    Args:
        expected: state of the networks, which may be on the meta device.
        found: layouts of the file's tensors.
        origin: name of the file.

    Raises:
        WeightsError: names the first keys that are missing, surplus, of another shape or no real numbers.
    """
    missing = [name for name in expected if name not in found]
    surplus = [name for name in found if name not in expected]
    for words, names in (("lacks", missing), ("has surplus", surplus)):
        if names:
            raise WeightsError(f"{origin} {words} {_some(names)}; is this the right configuration?")
    wrong = [name for name in expected if tuple(expected[name].shape) != found[name].shape]
    if wrong:
        name = wrong[0]
        raise WeightsError(
            f"{origin}: {name} is {shortened(found[name].shape)}, the configuration asks for "
            f"{tuple(expected[name].shape)} ({len(wrong)} such); is this the right configuration?"
        )
    for name, tensor in expected.items():
        kinds = _FLOATS if tensor.is_floating_point() else _WHOLE
        if found[name].dtype not in kinds:
            raise WeightsError(f"{origin}: {name} is {found[name].dtype}, one of {', '.join(kinds)} was expected")


def _some(names: list[str]) -> str:
    some = ", ".join(name if len(name) < 100 else shortened(name) for name in names[:3])
    return f"{len(names)} tensors ({some}{', ...' if len(names) > 3 else ''})"
