"""Settings in YAML and JSON files, which may come from anybody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from fomaug.errors import ArgumentError, reason_of
from fomaug.files import CONFIG, read_text

_MOST_NODES: Final = 10_000  # of a document, counted as often as it refers to them; official ones have 200
_LONGEST: Final = 1000  # characters of one value
# What the constructors of PyYAML raise for words that are no date, number or switch, beside errors of its own.
_BAD_VALUES: Final = (ValueError, AttributeError, LookupError, TypeError, OverflowError, RecursionError)


def read_settings(path: Path) -> dict[str, Any]:
    """Read a mapping from a JSON file, by its suffix, or from a YAML file.

    Raises:
        ArgumentError: the file cannot be read, is too large, is neither, or unfolds to much more than it is.
    """
    kind, parse = ("JSON", json.loads) if path.suffix == ".json" else ("YAML", _parse)
    try:
        values = parse(read_text(path, CONFIG))
    except OSError as error:
        raise ArgumentError(f"cannot read {path} ({reason_of(error)})") from error
    except (yaml.YAMLError, *_BAD_VALUES) as error:
        raise ArgumentError(f"{path} is no {kind} file of settings: {reason_of(error)}") from error
    if not isinstance(values, dict):
        raise ArgumentError(f"{path} holds no configuration, which is keys and values")
    return values


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
    """Count the nodes below one, those that are referred to again each time.

    Raises:
        ValueError: there are too many, a node holds itself, or a value is too long.
    """
    if isinstance(node, yaml.ScalarNode):
        if len(node.value) > _LONGEST:
            raise ValueError(f"a value has {len(node.value)} characters, up to {_LONGEST} were expected")
        return 1
    if id(node) not in counted:
        counted[id(node)] = _MOST_NODES + 1  # seen again before it is counted: it holds itself
        parts = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
        total = 1
        for part in parts:
            total += _count(part, counted)
            if total > _MOST_NODES:
                raise ValueError(f"it unfolds to more than {_MOST_NODES} values")
        counted[id(node)] = total
    return counted[id(node)]
