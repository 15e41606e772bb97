"""Paths of model files: embedded models are in the package, imported models in a folder of the user."""

from __future__ import annotations

import os
from pathlib import Path

from fomaug.errors import ArgumentError, ModelNotFoundError, UnsafeFileError, WeightsError, did_you_mean
from fomaug.files import MODEL, check_regular, exists
from fomaug.networks import OFFICIAL

EMBEDDED = Path(__file__).parents[1] / "assets"
SUFFIX = ".safetensors"


def models_folder() -> Path:
    """Return the folder of imported models: `models` in $FOMAUG_HOME, or in ~/.fomaug."""
    return Path(os.environ.get("FOMAUG_HOME", Path.home() / ".fomaug")) / "models"


def installed_models() -> dict[str, Path]:
    """Find all models that can be loaded by name; an embedded model has precedence over an imported one."""
    found = {}
    for folder in (models_folder(), EMBEDDED):
        if folder.is_dir():
            found.update({path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}")) if "." not in path.stem})
    return found


def check_new_name(name: str) -> None:
    """Raise `ArgumentError` if a name is invalid for an imported model, or is that of an embedded one."""
    if not name or any(character in name for character in "./\\"):
        raise ArgumentError(f"a model's name must have no dots and no slashes, got {name!r}; give another name")
    if (EMBEDDED / f"{name}{SUFFIX}").exists():
        raise ArgumentError(f"{name!r} is a model inside the package; give another name")


def find_model(name: str | os.PathLike[str]) -> Path:
    """Find the file of a model by name or path.

    Raises:
        ModelNotFoundError: there is no such model; the message lists the installed ones.
    """
    path, models = Path(name), installed_models()
    if str(name) in models:
        return models[str(name)]
    there = exists(path)
    if there and not path.is_dir():
        return path
    if str(name) in OFFICIAL:
        raise ModelNotFoundError(
            f"{name} is an official model whose weights are not part of fomaug; download its {name}.pth.tar and run: "
            f"fomaug model import {name}.pth.tar --config {name} (it stores the model in {models_folder()})"
        )
    if there:
        raise ModelNotFoundError(f"{name} is a folder; give the model file in it")
    raise ModelNotFoundError(
        f"no model named {str(name)!r} and no such file; installed: {', '.join(models) or 'none'}"
        f"{did_you_mean(str(name), [*models, *OFFICIAL])}"
    )


def check_model_file(path: Path) -> None:
    """Raise `WeightsError` if a file is not a regular file, or larger than any model."""
    try:
        check_regular(path, MODEL)
    except UnsafeFileError as error:
        raise WeightsError(str(error)) from error
