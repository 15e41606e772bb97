"""Read official checkpoints (`.pth.tar`) of any layout, and their settings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml
from torch import Tensor

from fomaug.animator import Animator
from fomaug.errors import ArgumentError, WeightsError, did_you_mean, reason_of, shortened
from fomaug.files import CONFIG, MODEL, exists, is_safetensors, open_regular, read_text
from fomaug.networks import OFFICIAL, AnyConfig, config_from_dict
from fomaug.untrusted import load_json
from fomaug.weights.assemble import assemble, layouts
from fomaug.weights.pickles import ZIP, check_model_file, check_zip, read_lazily

_MOST_NODES: Final = 10_000  # Most nodes of a document, with repetitions by aliases; official ones have 200.
_LONGEST: Final = 1000  # Most characters of one value.
# In addition to its own errors, PyYAML raises these for values that are not valid date, number or boolean.
_BAD_VALUES: Final = (ValueError, AttributeError, LookupError, TypeError, OverflowError, RecursionError)
Config = str | os.PathLike[str] | Mapping[str, Any] | None
_PICKLE, _GZIP = b"\x80", b"\x1f\x8b"
_PARTS = {"detector": "kp_detector", "generator": "generator"}


def read_settings(path: Path) -> dict[str, Any]:
    """Read a mapping from a file with the suffix `.json`, or else from a YAML file.

    Raises:
        ArgumentError: the file cannot be read, is too large or invalid, or its aliases stand for too many values.
    """
    try:
        text = read_text(path, CONFIG)
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentError(f"cannot read {path} ({reason_of(error)})") from error
    # The configurations check their own numbers, and name them in their errors.
    is_json = path.suffix == ".json"
    values = load_json(text, path, ArgumentError, finite=False) if is_json else _load_yaml(text, path)
    if not isinstance(values, dict):
        raise ArgumentError(f"{path} must contain keys and values, got {shortened(values)}")
    return values


def _load_yaml(text: str, path: Path) -> Any:
    try:
        return _parse(text)
    except (yaml.YAMLError, *_BAD_VALUES) as error:
        raise ArgumentError(f"{path} is not a YAML file of settings: {reason_of(error)}") from error


@contextmanager
def settings_of(path: Path) -> Iterator[None]:
    """Name the file in errors about a value in it.

    Raises:
        ArgumentError: the block raised one.
    """
    try:
        yield
    except ArgumentError as error:
        raise ArgumentError(f"{path}: {error}") from error


def _parse(text: str) -> Any:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _count(node: yaml.Node, counted: dict[int, int]) -> int:
    """Count a node and all nodes below it; a node with aliases counts once for each alias.

    Raises:
        ValueError: there are too many nodes, a node contains itself, or a value is too long.
    """
    if isinstance(node, yaml.ScalarNode):
        if len(node.value) > _LONGEST:
            raise ValueError(f"a value has {len(node.value)} characters, up to {_LONGEST} were expected")
        return 1
    if id(node) not in counted:
        counted[id(node)] = _MOST_NODES + 1  # This number remains if the node contains itself.
        parts = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
        total = 1
        for part in parts:
            total += _count(part, counted)
            if total > _MOST_NODES:
                raise ValueError(f"its aliases stand for more than {_MOST_NODES} values")
        counted[id(node)] = total
    return counted[id(node)]


def is_pickle(path: Path) -> bool:
    """Return whether a file is a pickle or torch archive; its content is checked, because its name may be wrong.

    Raises:
        WeightsError: the file is empty, a web page or another archive.
    """
    check_model_file(path)
    with open_regular(path, MODEL) as file:
        head = file.read(512)
    if not head:
        raise WeightsError(f"{path} is empty; was the download cut short?")
    if is_safetensors(path):  # This check comes first, since the file begins with a number of any value.
        return False
    if head.lstrip()[:1] == b"<":
        raise WeightsError(f"{path} is a web page instead of a model; download the file itself")
    if head[257:262] == b"ustar" or head.startswith(_GZIP):
        raise WeightsError(f"{path} is an archive, unlike official .pth.tar files; unpack it and give the file inside")
    if head.startswith(ZIP):
        check_zip(path)
        return True
    return head.startswith(_PICKLE)


def read_official(path: Path, config: Config) -> Animator:
    """Load an official checkpoint as an animator with unfolded batch norms."""
    if not is_pickle(path):
        raise WeightsError(
            f"{path} is not an official checkpoint, which is a pickle or a torch archive; give another file"
        )
    model_config = official_config(path, config)
    checkpoint, fill = read_lazily(path)
    states = _states(checkpoint, path)
    tensors = {f"{part}.{_plain(key)}": tensor for part, state in states.items() for key, tensor in state.items()}

    def read() -> dict[str, Tensor]:
        fill(tensors.values())
        return tensors

    return assemble(model_config, layouts(tensors), read, name=official_stem(path), origin=str(path), facts={})


def official_stem(path: Path) -> str:
    """Return the name of a checkpoint: `vox-256` for `vox-cpk.pth.tar`, and the name without suffix for others."""
    stem = path.name.split(".")[0].removesuffix("-cpk")
    return f"{stem}-256" if f"{stem}-256" in OFFICIAL else stem


def official_config(path: Path, config: Config) -> AnyConfig:
    """Read the configuration of an official checkpoint.

    Args:
        path: path of the checkpoint.
        config: see `import_official`.

    Raises:
        ArgumentError: there is no such configuration, or it is invalid.
    """
    if isinstance(config, Mapping):
        return config_from_dict(config)
    if config is None:
        config = _yaml_of(path)
    name = official_stem(path) if config is None else str(config)
    if name in OFFICIAL:
        return OFFICIAL[name]
    if config is None:
        raise ArgumentError(
            f"{path} has no configuration in its folder; give config, the path of its YAML file or one of "
            f"{', '.join(OFFICIAL)}"
        )
    if not exists(Path(config)):
        raise ArgumentError(
            f"config {name!r} is neither a YAML file nor one of {', '.join(OFFICIAL)}{did_you_mean(name, OFFICIAL)}"
        )
    values = read_settings(Path(config))
    with settings_of(Path(config)):
        return config_from_dict(values)


def _yaml_of(path: Path) -> Path | None:
    """Find the YAML file beside `NAME-cpk.pth.tar`: `NAME.yaml`, or `NAME-256.yaml` for official names."""
    paths = [path.with_name(f"{official_stem(path)}{suffix}") for suffix in (".yaml", ".yml")]
    return next((file for file in paths if file.is_file()), None)


def _states(checkpoint: object, path: Path) -> dict[str, dict[str, Tensor]]:
    if not isinstance(checkpoint, dict):
        raise WeightsError(
            f"{path} must contain a mapping like official checkpoints, got a {type(checkpoint).__name__}"
        )
    return {part: _state(checkpoint, key, path) for part, key in _PARTS.items()}


def _state(checkpoint: dict[Any, Any], key: str, path: Path) -> dict[str, Tensor]:
    state = checkpoint.get(key)
    if not isinstance(state, dict):
        found = ", ".join([*map(shortened, checkpoint)][:8]) or "none"
        raise WeightsError(f"{path} lacks {key!r}, which official checkpoints have; its keys are {found}")
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()):
        raise WeightsError(f"{path}: {key!r} must be a mapping from names to tensors")
    return state


def _plain(key: str) -> str:
    return key.removeprefix("module.")  # DataParallel adds this prefix.
