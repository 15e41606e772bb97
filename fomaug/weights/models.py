"""Models by name: find, load, describe, list and import them; they are in the package, or in a folder of the user."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fomaug.animator import Animator
from fomaug.device import one_thread
from fomaug.errors import ArgumentError, FomaugError, ModelNotFoundError, did_you_mean
from fomaug.files import exists
from fomaug.networks import OFFICIAL, fold_batch_norms
from fomaug.weights.assemble import assemble
from fomaug.weights.files import open_model, save_model
from fomaug.weights.official import Config, is_pickle, official_stem, read_official

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


_DTYPES = {
    "auto": torch.float32,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@one_thread()
def load_model(
    name: str | os.PathLike[str] = "lite-256",
    *,
    config: Config = None,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    fold: bool = True,
) -> Animator:
    """Load a model, ready to animate.

    Args:
        name: name of an installed model, or path of a `.safetensors` file or of an official `.pth.tar` checkpoint.
        config: configuration of an official checkpoint: path of its YAML file, name of an official configuration, or
            mapping; None for the YAML file of the same name in the same folder, or else the official configuration
            with the file's name.
        device: device of the model; "auto" is the first CUDA device, else Apple's GPU, else the CPU.
        dtype: dtype of the model; "auto" is float32 on every device; "bfloat16" and "float16" are for GPUs.
        fold: whether to fold batch norms into convolutions; the model is then faster, but cannot be trained or saved.

    Raises:
        ModelNotFoundError: there is no such model; the message explains how to install it.
        WeightsError: the file is damaged, has another format, or does not fit its configuration.
        ArgumentError: the dtype is unknown, the device cannot be used, or the file has its own configuration.
    """
    path = find_model(name)
    if is_pickle(path):
        animator = read_official(path, config)
    elif config is not None:
        raise ArgumentError(f"{path} has its own configuration; give config only for official .pth.tar checkpoints")
    else:
        animator = _read(path)
    if fold:
        fold_batch_norms(animator)
    animator = animator.to(pick_device(device), pick_dtype(dtype))
    # Convolutions are fastest with channels last on most CPUs and GPUs. Results keep the memory format of the pictures.
    for parameter in animator.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return animator.requires_grad_(False)  # noqa: FBT003 (this is torch's signature)


def pick_device(device: str | torch.device) -> torch.device:
    """Turn "auto" into the best device of this machine.

    Raises:
        ArgumentError: the device is unknown, or this machine does not have it.
    """
    if device != "auto":
        return _usable(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _usable(device: str | torch.device) -> torch.device:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # A torch that was built without the device raises AssertionError.
        usable = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        usable += ["mps"] * torch.backends.mps.is_available()
        reason = str(error).splitlines()[0]
        raise ArgumentError(
            f"device {str(device)!r} cannot be used here ({reason}); this machine has {', '.join(usable)}"
        ) from error
    return torch.device(device)


def pick_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """Turn a name into a dtype.

    Raises:
        ArgumentError: the name is unknown.
    """
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in _DTYPES:
        raise ArgumentError(f"dtype must be one of {', '.join(_DTYPES)}, got {dtype!r}{did_you_mean(dtype, _DTYPES)}")
    return _DTYPES[dtype]


def _read(path: Path) -> Animator:
    with open_model(path) as file:
        header = file.header()
        return assemble(
            header.config, file.layouts(), file.read, name=header.name, origin=str(path), facts=header.facts
        )


@dataclass(frozen=True)
class ModelInfo:
    """The description of a model file.

    Attributes:
        name: name by which `load_model` finds the model.
        path: path of the file.
        architecture: "fomm" or "lite".
        size: side in pixels of the square pictures that the model processes; None for a model of any size.
        parameters: number of learnt parameters.
        bytes: size of the file.
        config: configuration of the networks.
        facts: licence, data and measures, as they were given to `save_model`.
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

    Args:
        name: name of an installed model, or path of a model file.

    Raises:
        ModelNotFoundError: there is no such model.
        WeightsError: the file is not an intact model file.
    """
    path = find_model(name)
    with open_model(path) as file:
        header, layouts = file.header(), file.layouts()
    parameters = sum(math.prod(part.shape) for part in layouts.values() if "float" in part.dtype)
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
        on_damage: function that is called with a message about each file that is not an intact model file; by
            default the message is a warning.
    """
    found = []
    for name in installed_models():
        try:
            found.append(model_info(name))
        except FomaugError as error:  # A damaged file does not prevent the list of all others.
            (on_damage or _warn)(str(error))
    return found


def _warn(damage: str) -> None:
    warnings.warn(f"a model is left out of the list: {damage}", stacklevel=3)


def import_official(
    checkpoint: str | os.PathLike[str],
    *,
    config: Config = None,
    name: str | None = None,
    folder: Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Convert an official checkpoint to a model file that `load_model` finds by name.

    Args:
        checkpoint: path of a `.pth.tar` file, also with discriminator and optimiser states, or from DataParallel.
        config: path of its YAML file, name of an official configuration, or mapping; None for the YAML file of the
            same name in the same folder, or else the official configuration with the file's name.
        name: name of the model; by default the file's stem without `-cpk`.
        folder: folder of the model file; by default `models_folder()`.
        overwrite: True to replace an imported model of this name.

    Returns:
        The path of the model file.

    Raises:
        ArgumentError: the name is invalid, or is that of an embedded or, without `overwrite`, of an imported model.
        WeightsError: the file is damaged, has another format, or does not fit the configuration.
        ModelNotFoundError: there is no such file.
    """
    path = Path(checkpoint)
    if not exists(path):
        raise ModelNotFoundError(f"no such file: {path}")
    if path.is_dir():
        raise ModelNotFoundError(f"{path} is a folder; give the file")
    name = name or official_stem(path)
    check_new_name(name)
    target = (folder or models_folder()) / f"{name}{SUFFIX}"
    if target.exists() and not overwrite:
        raise ArgumentError(
            f"{target} exists already; give another name (--name), or overwrite=True (--overwrite) to replace the model"
        )
    animator = read_official(path, config)
    facts = {"origin": f"imported from {path.name}", "licence": "as the checkpoint's; it is not part of fomaug"}
    return save_model(animator, target, facts=facts, half=False)
