"""Read settings from YAML and JSON files, which may come from unknown sources."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from fomaug.errors import ArgumentError, reason_of, shortened
from fomaug.files import CONFIG, read_text
from fomaug.strict_json import load_json

_MOST_NODES: Final = 10_000  # Most nodes of a document, with repetitions by aliases; official ones have 200.
_LONGEST: Final = 1000  # Most characters of one value.
# Beside its own errors, PyYAML raises these for values that are no valid date, number or boolean.
_BAD_VALUES: Final = (ValueError, AttributeError, LookupError, TypeError, OverflowError, RecursionError)


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
        raise ArgumentError(f"{path} is no YAML file of settings: {reason_of(error)}") from error


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
