"""Check the names, shapes and dtypes of all tensors, then fill networks with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fomaug.animator import Animator
from fomaug.errors import WeightsError, shortened
from fomaug.networks import AnyConfig, build_networks, model_hash

Tensors = Mapping[str, Tensor]

_FLOATS: Final = ("float16", "bfloat16", "float32", "float64")
_INTEGERS: Final = ("int64", "int32", "int16", "int8", "uint8")
_INITIALISERS: Final = (nn.init.kaiming_uniform_, nn.init.uniform_, nn.init.normal_)


class Layout(NamedTuple):
    """The shape and the dtype of a tensor.

    Attributes:
        shape: lengths of the dimensions.
        dtype: name of the dtype, such as "float32".
    """

    shape: tuple[int, ...]
    dtype: str


def layouts(tensors: Mapping[str, Tensor]) -> dict[str, Layout]:
    """Return the layout of each tensor.

    >>> import torch
    >>> layouts({"bias": torch.zeros(3)})
    {'bias': Layout(shape=(3,), dtype='float32')}
    """
    return {
        name: Layout(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")) for name, tensor in tensors.items()
    }


def compare(expected: Mapping[str, Tensor], found: Mapping[str, Layout], origin: str) -> None:
    """Compare the tensors of a file with the state of the networks.

    Args:
        expected: state of the networks, which may be on the meta device.
        found: layouts of the file's tensors.
        origin: name of the file in error messages.

    Raises:
        WeightsError: a tensor is missing or surplus, or has another shape or a complex dtype; the message names the
            first ones.
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
            f"{origin}: {name} is {shortened(found[name].shape)}, the configuration expects "
            f"{tuple(expected[name].shape)} ({len(wrong)} tensors differ); is this the right configuration?"
        )
    for name, tensor in expected.items():
        dtypes = _FLOATS if tensor.is_floating_point() else _INTEGERS
        if found[name].dtype not in dtypes:
            raise WeightsError(f"{origin}: {name} is {found[name].dtype}, one of {', '.join(dtypes)} was expected")


def _some(names: list[str]) -> str:
    listed = ", ".join(name if len(name) < 100 else shortened(name) for name in names[:3])
    return f"{len(names)} tensors ({listed}{', ...' if len(names) > 3 else ''})"


def assemble(
    config: AnyConfig,
    found: Mapping[str, Layout],
    read: Callable[[], Tensors],
    *,
    name: str,
    origin: str,
    facts: dict[str, Any],
) -> Animator:
    """Build an animator around tensors named `detector.*` and `generator.*`.

    The networks are built on the meta device, where they take no memory. The tensors are read after all shapes are
    checked.

    Args:
        config: configuration of the networks.
        found: layouts of the tensors.
        read: function that reads the tensors.
        name: name of the model.
        origin: name of the file in error messages.
        facts: facts of the model.

    Raises:
        WeightsError: the tensors do not fit the configuration, or contain numbers that are not finite.
    """
    with torch.device("meta"), _Uninitialised():
        detector, generator = build_networks(config)
    both = nn.ModuleDict({"detector": detector, "generator": generator})
    expected = both.state_dict()
    assert {key for key, _ in both.named_buffers()} <= expected.keys(), "a buffer outside the state would stay empty"
    compare(expected, found, origin)
    tensors = read()
    check_numbers(tensors, origin)  # before any is copied
    filled = {key: _own(tensor, expected[key].dtype) for key, tensor in tensors.items()}
    both.load_state_dict(filled, strict=True, assign=True)
    names = getattr(config, "keypoint_names", ())
    try:
        return Animator(
            config, detector, generator, name=name, hash=model_hash(config, both), facts=facts, keypoint_names=names
        )
    except RuntimeError as error:
        raise WeightsError(
            f"{origin}: its networks cannot process a picture of their size ({error}); check the configuration"
        ) from error


def _own(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Copy a tensor so that it shares no memory with a file or another tensor."""
    return tensor.detach().to("cpu", dtype, copy=True, memory_format=torch.contiguous_format)


def load_strictly(network: nn.Module, tensors: Tensors, origin: str) -> None:
    """Fill a network with tensors that must fit its state exactly.

    Args:
        network: network whose parameters and buffers are overwritten.
        tensors: tensors by their names in the state.
        origin: name of the file in error messages.

    Raises:
        WeightsError: a tensor is missing or surplus, or has another shape, or contains numbers that are not finite.
    """
    compare(network.state_dict(), layouts(tensors), origin)
    check_numbers(tensors, origin)
    network.load_state_dict(dict(tensors), strict=True)


class _Uninitialised(TorchFunctionMode):
    """A mode that skips the random initialisation of new weights."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, unless it initialises weights."""
        options = kwargs or {}
        return options["tensor"] if func in _INITIALISERS else func(*args, **options)


def check_numbers(tensors: Tensors, origin: str) -> None:
    """Check that all weights are finite in float32 and no variance is negative.

    Raises:
        WeightsError: a tensor violates this; the message names the first one.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not _is_finite(tensor):
            raise WeightsError(f"{origin}: {name} contains numbers that are not finite; did its training diverge?")
        if name.endswith("running_var") and bool((tensor < 0).any()):
            raise WeightsError(f"{origin}: {name} contains negative variances; is the file damaged?")


def _is_finite(tensor: Tensor) -> bool:
    # The sum is faster than a check of each number. It can be infinite although all numbers are finite.
    if tensor.dtype == torch.float64:
        tensor = tensor.float()
    return math.isfinite(float(tensor.sum(dtype=torch.float32))) or bool(tensor.isfinite().all())
