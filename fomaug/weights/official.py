"""Official checkpoints (`.pth.tar`): whatever layout they come in, to an animator."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from fomaug.animator import Animator
from fomaug.errors import ArgumentError, ModelNotFoundError, WeightsError, did_you_mean, shortened
from fomaug.files import MODEL, exists, is_safetensors, open_regular
from fomaug.networks import OFFICIAL, AnyConfig, config_from_dict
from fomaug.weights.assemble import assemble
from fomaug.weights.files import save_model
from fomaug.weights.layout import layouts
from fomaug.weights.pickles import ZIP, check_zip, read_pickle
from fomaug.weights.places import SUFFIX, check_model_file, check_new_name, models_folder
from fomaug.weights.settings import read_settings, settings_of

Config = str | os.PathLike[str] | Mapping[str, Any] | None
_PICKLE, _GZIP = b"\x80", b"\x1f\x8b"
_PARTS = {"detector": "kp_detector", "generator": "generator"}


def import_official(
    checkpoint: str | os.PathLike[str], *, config: Config = None, name: str | None = None, folder: Path | None = None
) -> Path:
    """Convert an official checkpoint to a model file that `load_model` finds by name.

    Args:
        checkpoint: the `.pth.tar` file, with or without discriminator and optimiser states, also from DataParallel.
        config: its YAML file, the name of an official configuration, or a mapping; None takes the YAML file of the
            same name beside it, or else goes by the file's name.
        name: to list it under; the file's stem without `-cpk` by default.
        folder: to write to, `models_folder()` by default.

    Returns:
        The path of the file written.

    Raises:
        ArgumentError: the name is that of a model inside the package, or no name.
        WeightsError: the file is damaged, of another kind, or does not fit the configuration.
        ModelNotFoundError: no such file.
    """
    path = Path(checkpoint)
    if not exists(path):
        raise ModelNotFoundError(f"no such file: {path}")
    if path.is_dir():
        raise ModelNotFoundError(f"{path} is a folder; give the file")
    name = name or official_stem(path)
    check_new_name(name)
    animator = read_official(path, config)
    target = (folder or models_folder()) / f"{name}{SUFFIX}"
    facts = {"origin": f"imported from {path.name}", "licence": "as the checkpoint's; it is not part of fomaug"}
    return save_model(animator, target, facts=facts, half=False)


def is_pickle(path: Path) -> bool:
    """Whether a file is to be read as an official checkpoint: by content, since names lie.

    Raises:
        WeightsError: if it is plainly something else: empty, a web page, an archive.
    """
    check_model_file(path)
    with open_regular(path, MODEL) as file:
        head = file.read(512)
    if not head:
        raise WeightsError(f"{path} is empty; was the download cut short?")
    if is_safetensors(path):  # first of all: such a file begins with a number, which may look like anything
        return False
    if head.lstrip()[:1] == b"<":
        raise WeightsError(f"{path} is a web page, not a model: the link gave an error page instead of the file")
    if head[257:262] == b"ustar" or head.startswith(_GZIP):
        raise WeightsError(
            f"{path} is an archive; official .pth.tar files are none: unpack it and give the file inside"
        )
    if head.startswith(ZIP):
        check_zip(path)
        return True
    return head.startswith(_PICKLE)


def read_official(path: Path, config: Config) -> Animator:
    """Load an official checkpoint as an animator with unfolded batch norms."""
    if not is_pickle(path):
        raise WeightsError(f"{path} is no official checkpoint: it is neither a pickle nor a torch archive")
    model_config = official_config(path, config)
    states = _read_states(path)
    tensors = {f"{part}.{_plain(key)}": tensor for part, state in states.items() for key, tensor in state.items()}
    found = layouts(tensors)
    return assemble(model_config, found, lambda: tensors, name=official_stem(path), origin=str(path), facts={})


def official_stem(path: Path) -> str:
    """The name of a checkpoint: `vox-cpk.pth.tar` and `vox-256.pth.tar` give `vox-256`; others lose their suffix."""
    stem = path.name.split(".")[0].removesuffix("-cpk")
    return f"{stem}-256" if f"{stem}-256" in OFFICIAL else stem


def official_config(path: Path, config: Config) -> AnyConfig:
    """Read a configuration from a YAML file, a name or a mapping; None looks beside the checkpoint, then at its name.

    Raises:
        ArgumentError: if there is none of that name, or the file does not hold one.
    """
    if isinstance(config, Mapping):
        return config_from_dict(config)
    if config is None:
        config = _beside(path)
    name = official_stem(path) if config is None else str(config)
    if name in OFFICIAL:
        return OFFICIAL[name]
    if config is None:
        raise ArgumentError(
            f"{path} does not say its configuration; give config: its YAML file or one of {', '.join(OFFICIAL)}"
        )
    if not exists(Path(config)):
        raise ArgumentError(
            f"config {name!r} is neither a YAML file nor one of {', '.join(OFFICIAL)}{did_you_mean(name, OFFICIAL)}"
        )
    values = read_settings(Path(config))
    with settings_of(Path(config)):
        return config_from_dict(values)


def _beside(path: Path) -> Path | None:
    """The YAML file that lies beside `NAME-cpk.pth.tar`: `NAME.yaml`, or `NAME-256.yaml` for official names."""
    places = [path.with_name(f"{official_stem(path)}{suffix}") for suffix in (".yaml", ".yml")]
    return next((place for place in places if place.is_file()), None)


def _read_states(path: Path) -> dict[str, dict[str, Tensor]]:
    checkpoint = read_pickle(path)
    if not isinstance(checkpoint, dict):
        raise WeightsError(f"{path} holds a {type(checkpoint).__name__}, an official checkpoint is a mapping")
    return {part: _state(checkpoint, key, path) for part, key in _PARTS.items()}


def _state(checkpoint: dict[Any, Any], key: str, path: Path) -> dict[str, Tensor]:
    state = checkpoint.get(key)
    if not isinstance(state, dict):
        found = ", ".join([*map(shortened, checkpoint)][:8]) or "nothing"
        raise WeightsError(f"{path} lacks {key!r}, which official checkpoints have; it holds {found}")
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()):
        raise WeightsError(f"{path}: {key!r} holds something other than named tensors")
    return state


def _plain(key: str) -> str:
    return key.removeprefix("module.")  # DataParallel's prefix
