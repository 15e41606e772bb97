"""From a name or a file to an animator."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from fomaug.animator import Animator
from fomaug.errors import ArgumentError, did_you_mean
from fomaug.networks import fold_batch_norms
from fomaug.weights.assemble import assemble
from fomaug.weights.files import read_header, read_layouts, read_tensors
from fomaug.weights.official import Config, is_pickle, read_official
from fomaug.weights.places import find_model

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
        name: an installed model, the path of a `.safetensors` file, or of an official `.pth.tar` checkpoint.
        config: for an official checkpoint: its YAML file, the name of an official configuration, or a mapping;
            None takes the YAML file of the same name beside it, or else goes by the file's name.
        device: "auto" is the first CUDA device, else Apple's GPU, else the CPU.
        dtype: "auto" is float32 everywhere; "bfloat16" and "float16" are for GPUs.
        fold: fold batch norms into convolutions: faster, but not to be trained or saved.

    Raises:
        ModelNotFoundError: no such model is here; says where to put its file.
        WeightsError: the file is damaged, of another kind, or does not fit its configuration.
        ArgumentError: unknown dtype, or a configuration where there can be none.
    """
    path = find_model(name)
    if is_pickle(path):
        animator = read_official(path, config)
    elif config is not None:
        raise ArgumentError(f"{path} carries its own configuration; config is for official .pth.tar checkpoints")
    else:
        animator = _read(path)
    if fold:
        fold_batch_norms(animator)
    animator = animator.to(pick_device(device), pick_dtype(dtype))
    # Channels last is what convolutions compute in on CPUs and GPUs of today; results keep the layout of the pictures.
    for parameter in animator.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return animator.requires_grad_(False)  # noqa: FBT003 (torch's signature)


def pick_device(device: str | torch.device) -> torch.device:
    """Turn "auto" into the best device here.

    Raises:
        ArgumentError: for an unknown device, or one that this machine does not have.
    """
    if device != "auto":
        return _usable(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _usable(device: str | torch.device) -> torch.device:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch built without it says so by an assertion
        here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        here += ["mps"] * torch.backends.mps.is_available()
        reason = str(error).splitlines()[0]
        raise ArgumentError(
            f"device {str(device)!r} cannot be used here ({reason}); there are: {', '.join(here)}"
        ) from error
    return torch.device(device)


def pick_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """Turn a name into a dtype.

    Raises:
        ArgumentError: for an unknown name.
    """
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in _DTYPES:
        raise ArgumentError(
            f"dtype is {dtype!r}, one of {', '.join(_DTYPES)} was expected{did_you_mean(dtype, _DTYPES)}"
        )
    return _DTYPES[dtype]


def _read(path: Path) -> Animator:
    header = read_header(path)
    return assemble(
        header.config,
        read_layouts(path),
        lambda: read_tensors(path),
        name=header.name,
        origin=str(path),
        facts=header.facts,
    )
