"""Reading and writing model files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from fomaug.animator import Animator
from fomaug.errors import ArgumentError, WeightsError, reason_of
from fomaug.files import write_file
from fomaug.networks import AnyConfig, config_from_dict
from fomaug.weights.places import check_model_file

FORMAT = "fomaug-model"
VERSION = "1"


@dataclass(frozen=True)
class Header:
    """What a model file says of itself."""

    name: str
    config: AnyConfig
    facts: dict[str, Any]


def save_model(
    animator: Animator, path: str | os.PathLike[str], *, facts: Mapping[str, Any] | None = None, half: bool = True
) -> Path:
    """Write a model as one safetensors file, atomically.

    Args:
        animator: loaded with `fold=False`, or just trained.
        path: to write to; the stem becomes the name under which it is listed.
        facts: plain JSON to keep beside the weights: licence, data, measures; added to the animator's own.
        half: store floating weights as float16.

    Raises:
        ArgumentError: if the batch norms were folded: such a model cannot be trained on.
    """
    if not any(isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm)) for module in animator.modules()):
        raise ArgumentError(f"{animator.name} has its batch norms folded; load it with fold=False to save it")
    tensors = {name: _stored(tensor, half=half) for name, tensor in animator.state_dict().items()}
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "name": Path(path).stem,
        "config": json.dumps(animator.config.to_dict(), sort_keys=True),
        "facts": json.dumps({**animator.facts, **(facts or {})}, sort_keys=True),
    }
    # Not save_file: it makes files that nobody but their owner may read.
    write_file(Path(path), _in_order(save(tensors, metadata)))
    return Path(path)


def _in_order(content: bytes) -> bytes:
    """Sort the header of a safetensors file, whose metadata come in any order: equal models become equal files."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the tensors stay aligned
    return len(header).to_bytes(8, "little") + header + content[end:]


def read_header(path: Path) -> Header:
    """Read what a model file says of itself, without its weights.

    Raises:
        WeightsError: if it is no model file of this project.
    """
    with _opened(path) as file:
        metadata = file.metadata() or {}
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{path} is a safetensors file, but no fomaug model; fomaug model import makes one")
    if metadata.get("version") != VERSION:
        raise WeightsError(
            f"{path} has format version {metadata.get('version')}, this fomaug reads {VERSION}; upgrade it"
        )
    try:
        config = config_from_dict(json.loads(metadata["config"]))
        return Header(path.stem, config, json.loads(metadata.get("facts", "{}")))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} has a damaged header: {reason_of(error)}") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all weights as they are stored."""
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)


def _stored(tensor: Tensor, *, half: bool) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if half and tensor.dtype == torch.float32 else tensor


def _opened(path: Path) -> Any:
    try:
        check_model_file(path)
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} is no intact safetensors file ({reason_of(error)}); was the download cut short?"
        ) from error
