"""Where models lie: some inside the package, imported ones in a folder of the user's."""

from __future__ import annotations

import os
from pathlib import Path

from fomaug.errors import ArgumentError, ModelNotFoundError, UnsafeFileError, WeightsError, did_you_mean
from fomaug.files import MODEL, check_regular, exists
from fomaug.networks import OFFICIAL

EMBEDDED = Path(__file__).parents[1] / "assets"
SUFFIX = ".safetensors"


def models_folder() -> Path:
    """Say where imported models lie: `models` in $FOMAUG_HOME, or in ~/.fomaug."""
    return Path(os.environ.get("FOMAUG_HOME", Path.home() / ".fomaug")) / "models"


def installed_models() -> dict[str, Path]:
    """Find every model that can be loaded by name; an embedded one hides an imported one of its name."""
    found = {}
    for folder in (models_folder(), EMBEDDED):
        if folder.is_dir():
            found.update({path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}")) if "." not in path.stem})
    return found


def check_new_name(name: str) -> None:
    """Raise `ArgumentError` unless a model may be imported under a name: one that is found again and hides no other."""
    if not name or any(mark in name for mark in "./\\"):
        raise ArgumentError(f"a model's name has no dots and no slashes, got {name!r}; give another name")
    if (EMBEDDED / f"{name}{SUFFIX}").exists():
        raise ArgumentError(f"{name!r} is a model inside the package; give another name")


def find_model(name: str | os.PathLike[str]) -> Path:
    """Find the file of a model by name or path.

    Raises:
        ModelNotFoundError: says what is there and what to do.
    """
    path, models = Path(name), installed_models()
    if str(name) in models:
        return models[str(name)]
    there = exists(path)
    if there and not path.is_dir():
        return path
    if str(name) in OFFICIAL:
        raise ModelNotFoundError(
            f"{name} is an official model whose weights are not shipped; put its {name}.pth.tar anywhere and run: "
            f"fomaug model import {name}.pth.tar --config {name} (it is then kept in {models_folder()})"
        )
    if there:
        raise ModelNotFoundError(f"{name} is a folder; give the model file in it")
    raise ModelNotFoundError(
        f"no model named {str(name)!r} and no such file; installed: {', '.join(models) or 'none'}"
        f"{did_you_mean(str(name), [*models, *OFFICIAL])}"
    )


def check_model_file(path: Path) -> None:
    """Raise `WeightsError` for what is no regular file, or larger than a model can be."""
    try:
        check_regular(path, MODEL)
    except UnsafeFileError as error:
        raise WeightsError(str(error)) from error
