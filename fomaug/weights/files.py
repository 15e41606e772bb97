"""Reading and writing model files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from fomaug.animator import Animator
from fomaug.errors import ArgumentError, WeightsError, reason_of, shortened
from fomaug.files import MODEL, open_regular, write_file
from fomaug.networks import AnyConfig, config_from_dict
from fomaug.weights.layout import Layout
from fomaug.weights.places import check_model_file

FORMAT = "fomaug-model"
VERSION = "1"
_MOST_HEADER = 2**22  # bytes; that of a model of 319 tensors has 35,000
_MOST_FACTS = 2**16  # characters
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
}


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
        facts = json.loads(metadata.get("facts", "{}"))
        check_facts(facts)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} has a damaged header: {reason_of(error)}") from error
    return Header(path.stem, config, facts)


def read_layouts(path: Path) -> dict[str, Layout]:
    """Read names, shapes and kinds of all weights, without their numbers."""
    with _opened(path) as file:
        parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        return {
            name: Layout(tuple(part.get_shape()), _DTYPES.get(part.get_dtype(), str(part.get_dtype())))
            for name, part in parts.items()
        }


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
        check_header_size(path)
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{path} is no intact safetensors file ({reason_of(error)}); was the download cut short?"
        ) from error


def check_header_size(path: Path) -> None:
    """Look at the length of the header before a parser does.

    Raises:
        ValueError: it is longer than any model's.
    """
    with open_regular(path, MODEL) as file:
        length = int.from_bytes(file.read(8), "little")
    if length > _MOST_HEADER:
        raise ValueError(f"its header states {length} bytes, up to {_MOST_HEADER} were expected")


def check_facts(facts: object) -> None:
    """Refuse facts that are no mapping, or that cannot be shown: they are printed as they are.

    Raises:
        ValueError: says what is wrong.
    """
    if not isinstance(facts, dict):
        raise ValueError(f"facts must be keys and values, got {shortened(facts)}")
    text = json.dumps(facts, ensure_ascii=False)
    if len(text) > _MOST_FACTS:
        raise ValueError(f"facts must have up to {_MOST_FACTS} characters, got {len(text)}")
    for word in _words(facts):
        if not all(mark.isprintable() or mark in "\n\t" for mark in word):
            raise ValueError(f"facts must be printable, got {shortened(word)}")


def _words(value: object) -> Iterator[str]:
    """All words in JSON values, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _words(part)
    elif isinstance(value, dict):
        yield from value
        for part in value.values():
            yield from _words(part)
