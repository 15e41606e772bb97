"""What can be said of a model without loading it."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fomaug.errors import FomaugError
from fomaug.weights.files import read_header, read_layouts
from fomaug.weights.places import find_model, installed_models


@dataclass(frozen=True)
class ModelInfo:
    """A model file, described.

    Attributes:
        name: to load it by.
        path: of the file.
        architecture: "fomm" or "lite".
        size: side of the square pictures it works on; None for each picture's own.
        parameters: how many numbers it learnt.
        bytes: of the file.
        config: everything it is built from.
        facts: licence, data, measures, as its maker wrote them.
    """

    name: str
    path: Path
    architecture: str
    size: int | None
    parameters: int
    bytes: int
    config: dict[str, Any]
    facts: dict[str, Any]


def model_info(name: str | os.PathLike[str]) -> ModelInfo:
    """Describe a model file.

    Raises:
        ModelNotFoundError: no such model is here.
        WeightsError: it is no intact model file.
    """
    path = find_model(name)
    header = read_header(path)
    parameters = sum(math.prod(part.shape) for part in read_layouts(path).values() if "float" in part.dtype)
    return ModelInfo(
        name=header.name,
        path=path,
        architecture=header.config.architecture,
        size=header.config.size,
        parameters=parameters,
        bytes=path.stat().st_size,
        config=header.config.to_dict(),
        facts=header.facts,
    )


def list_models(*, on_damage: Callable[[str], object] | None = None) -> list[ModelInfo]:
    """Describe every model that can be loaded by name.

    Args:
        on_damage: called with a sentence for each file that is no intact model file; by default a warning says so.
    """
    found = []
    for name in installed_models():
        try:
            found.append(model_info(name))
        except FomaugError as error:  # one broken file hides no other model
            (on_damage or _warn)(str(error))
    return found


def _warn(damage: str) -> None:
    warnings.warn(f"a model is left out: {damage}", stacklevel=3)
