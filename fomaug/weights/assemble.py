"""Networks filled with weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from fomaug.animator import Animator, model_hash
from fomaug.errors import WeightsError
from fomaug.networks import AnyConfig, build_networks


def assemble(
    config: AnyConfig, tensors: Mapping[str, Tensor], *, name: str, origin: str, facts: dict[str, Any]
) -> Animator:
    """Build an animator around tensors named `detector.*` and `generator.*`."""
    detector, generator = build_networks(config)
    both = nn.ModuleDict({"detector": detector, "generator": generator})
    load_strictly(both, tensors, origin)
    names = getattr(config, "keypoint_names", ())
    return Animator(
        config, detector, generator, name=name, hash=model_hash(config, both), facts=facts, keypoint_names=names
    )


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Fill a network, every key present and every shape right.

    Raises:
        WeightsError: names the first keys that are missing, surplus or of another shape.
    """
    expected = network.state_dict()
    missing = [name for name in expected if name not in tensors]
    surplus = [name for name in tensors if name not in expected]
    shapes = [name for name in expected if name in tensors and expected[name].shape != tensors[name].shape]
    for words, names in (("lacks", missing), ("has surplus", surplus)):
        if names:
            raise WeightsError(f"{origin} {words} {_some(names)}; is this the right configuration?")
    if shapes:
        name = shapes[0]
        raise WeightsError(
            f"{origin}: {name} is {tuple(tensors[name].shape)}, the configuration asks for "
            f"{tuple(expected[name].shape)} ({len(shapes)} such); is this the right configuration?"
        )
    network.load_state_dict(dict(tensors), strict=True)


def _some(names: list[str]) -> str:
    return f"{len(names)} tensors ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
