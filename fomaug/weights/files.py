"""Model files, in the format safetensors: write and read them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor, nn

from fomaug.animator import Animator
from fomaug.errors import ArgumentError, UnsafeFileError, WeightsError, reason_of, shortened
from fomaug.files import MODEL, write_file
from fomaug.networks import AnyConfig, config_from_dict
from fomaug.untrusted import check_finite, load_json, open_tensors
from fomaug.weights.assemble import Layout

FORMAT = "fomaug-model"
VERSION = "1"
_MOST_HEADER = 2**22  # Largest header in bytes; a model of 319 tensors has one of 35,000.
_MOST_FACTS = 2**16  # Longest facts in characters.
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
    """The header of a model file, without the layouts of the tensors.

    Attributes:
        name: name of the model.
        config: configuration of the networks.
        facts: licence, data and measures of the model.
    """

    name: str
    config: AnyConfig
    facts: dict[str, Any]


def save_model(
    animator: Animator, path: str | os.PathLike[str], *, facts: Mapping[str, Any] | None = None, half: bool = True
) -> Path:
    """Write a model as one safetensors file, atomically.

    Args:
        animator: model whose batch norms are not folded: loaded with `fold=False`, or just trained.
        path: path of the new file; its stem becomes the name of the model.
        facts: further facts as plain JSON, such as licence, data and measures; they are added to the animator's own.
        half: whether to store floating-point weights as float16.

    Raises:
        ArgumentError: the batch norms are folded, so that the model cannot be trained further; or the facts are too
            long, or contain infinite numbers or characters that cannot be printed.
    """
    if not any(isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm)) for module in animator.modules()):
        raise ArgumentError(f"{animator.name} has its batch norms folded; load it with fold=False to save it")
    facts = {**animator.facts, **(facts or {})}
    try:
        check_facts(facts)
    except ValueError as error:
        raise ArgumentError(f"{path} could not be read again: {error}") from error
    tensors = {name: _stored(tensor, half=half) for name, tensor in animator.state_dict().items()}
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "name": Path(path).stem,
        "config": json.dumps(animator.config.to_dict(), sort_keys=True),
        "facts": json.dumps(facts, sort_keys=True),
    }
    # The function save_file of safetensors would write a file that only its owner can read.
    write_file(Path(path), _in_order(save(tensors, metadata)))
    return Path(path)


def _in_order(content: bytes) -> bytes:
    """Sort the header of a safetensors file, so that equal models become equal files."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # The tensors stay aligned to 8 bytes.
    return len(header).to_bytes(8, "little") + header + content[end:]


@dataclass(frozen=True)
class ModelFile:
    """An open model file, see `open_model`.

    Args:
        path: path of the file.
        tensors: open file of the library safetensors.
    """

    path: Path
    tensors: Any

    def header(self) -> Header:
        """Read name, configuration and facts.

        Raises:
            WeightsError: the file is not a model file of fomaug, or its header is damaged.
        """
        path, metadata = self.path, self.tensors.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise WeightsError(
                f"{path} is a safetensors file, but no fomaug model; fomaug model import converts official checkpoints"
            )
        if metadata.get("version") != VERSION:
            found = shortened(metadata.get("version"))
            raise WeightsError(f"{path} has format version {found}, {VERSION!r} was expected; upgrade fomaug")
        try:
            # The configuration checks its own numbers, and names them in its errors.
            config = config_from_dict(load_json(metadata["config"], "config", WeightsError, finite=False))
            facts = load_json(metadata.get("facts", "{}"), "facts", WeightsError, finite=False)
            check_facts(facts)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise WeightsError(f"{path} has a damaged header: {reason_of(error)}") from error
        return Header(path.stem, config, facts)

    def layouts(self) -> dict[str, Layout]:
        """Read the layouts of all weights, without their numbers."""
        parts = {name: self.tensors.get_slice(name) for name in self.tensors.keys()}  # noqa: SIM118 (it is not a mapping)
        return {
            name: Layout(tuple(part.get_shape()), _DTYPES.get(part.get_dtype(), str(part.get_dtype())))
            for name, part in parts.items()
        }

    def read(self) -> dict[str, Tensor]:
        """Read all weights in the dtypes of the file."""
        return {name: self.tensors.get_tensor(name) for name in self.tensors.keys()}  # noqa: SIM118 (it is not a mapping)


@contextmanager
def open_model(path: Path) -> Iterator[ModelFile]:
    """Open a model file; only its header is read.

    Raises:
        WeightsError: the file is not an intact safetensors file.
    """
    try:
        with open_tensors(path, MODEL, most_header=_MOST_HEADER) as tensors:
            yield ModelFile(path, tensors)
    except UnsafeFileError as error:
        raise WeightsError(str(error)) from error
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} is not an intact safetensors file ({reason_of(error)}); `fomaug model import` converts official "
            "checkpoints, and a file that was cut short must be downloaded again"
        ) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all weights of a model file in the dtypes of the file.

    Raises:
        WeightsError: the file is not an intact safetensors file.
    """
    with open_model(path) as file:
        return file.read()


def _stored(tensor: Tensor, *, half: bool) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if half and tensor.dtype == torch.float32 else tensor


def check_facts(facts: object) -> None:
    """Check that facts are a mapping that can be printed as it is.

    Raises:
        ValueError: the facts violate this.
    """
    if not isinstance(facts, dict):
        raise ValueError(f"facts must be keys and values, got {shortened(facts)}")
    check_finite(facts, nan=True)
    text = json.dumps(facts, ensure_ascii=False)
    if len(text) > _MOST_FACTS:
        raise ValueError(f"facts must have up to {_MOST_FACTS} characters, got {len(text)}")
    for string in _strings(facts):
        if not all(character.isprintable() or character in "\n\t" for character in string):
            raise ValueError(f"facts must be printable, got {shortened(string)}")


def _strings(value: object) -> Iterator[str]:
    """Yield all strings in some JSON, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)
    elif isinstance(value, dict):
        yield from value
        for part in value.values():
            yield from _strings(part)
