"""Load a model by name or from a file, onto a device and in a dtype."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from fomaug.animator import Animator
from fomaug.errors import ArgumentError, did_you_mean
from fomaug.networks import fold_batch_norms
from fomaug.weights.assemble import assemble
from fomaug.weights.files import open_model
from fomaug.weights.official import Config, is_pickle, read_official
from fomaug.weights.paths import find_model

_DTYPES = {
    "auto": torch.float32,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


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
            f"device {str(device)!r} cannot be used here ({reason}); give one of {', '.join(usable)}"
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
