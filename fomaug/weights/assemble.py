"""Networks filled with weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fomaug.animator import Animator, model_hash
from fomaug.errors import WeightsError
from fomaug.networks import AnyConfig, build_networks
from fomaug.weights.layout import Layout, compare, layouts

Tensors = Mapping[str, Tensor]
_INITIALISERS = (nn.init.kaiming_uniform_, nn.init.uniform_, nn.init.normal_)


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

    The networks are built without memory; they get some, and the tensors are read, once all shapes are right.

    Args:
        config: what the networks are built from.
        found: layouts of the tensors.
        read: reads the tensors.
        name: of the model.
        origin: name of the file, for messages.
        facts: of the model.

    Raises:
        WeightsError: the tensors do not fit the configuration, or are no finite numbers.
    """
    with torch.device("meta"), _Uninitialised():
        detector, generator = build_networks(config)
    both = nn.ModuleDict({"detector": detector, "generator": generator})
    expected = both.state_dict()
    assert {key for key, _ in both.named_buffers()} <= expected.keys(), "a buffer outside of the state stays empty"
    compare(expected, found, origin)
    filled = {key: _own(tensor, expected[key].dtype) for key, tensor in read().items()}
    check_numbers(filled, origin)
    both.load_state_dict(filled, strict=True, assign=True)
    names = getattr(config, "keypoint_names", ())
    try:
        return Animator(
            config, detector, generator, name=name, hash=model_hash(config, both), facts=facts, keypoint_names=names
        )
    except RuntimeError as error:
        raise WeightsError(f"{origin}: its networks cannot look at a picture of their size ({error})") from error


def _own(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Copy a tensor, so that it shares no memory with a file or another tensor."""
    return tensor.detach().to("cpu", dtype, copy=True, memory_format=torch.contiguous_format)


def load_strictly(network: nn.Module, tensors: Tensors, origin: str) -> None:
    """Fill a network, every key present and every shape right.

    Raises:
        WeightsError: names the first keys that are missing, surplus or of another shape, or no finite numbers.
    """
    compare(network.state_dict(), layouts(tensors), origin)
    check_numbers(tensors, origin)
    network.load_state_dict(dict(tensors), strict=True)


class _Uninitialised(TorchFunctionMode):
    """Leave out what fills new weights with random numbers."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of torch unless it is an initialiser."""
        options = kwargs or {}
        return options["tensor"] if func in _INITIALISERS else func(*args, **options)


def check_numbers(tensors: Tensors, origin: str) -> None:
    """Refuse weights that are not finite, and variances below 0.

    Raises:
        WeightsError: names the first such tensor.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not _is_finite(tensor):
            raise WeightsError(f"{origin}: {name} holds numbers that are not finite; was its training broken off?")
        if name.endswith("running_var") and bool((tensor < 0).any()):
            raise WeightsError(f"{origin}: {name} holds negative variances")


def _is_finite(tensor: Tensor) -> bool:
    # A finite sum has finite terms, and is quicker than a look at each; finite terms may have an infinite sum.
    return math.isfinite(float(tensor.sum())) or bool(tensor.isfinite().all())
