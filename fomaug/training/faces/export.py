"""From a training run to a model file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fomaug.animator import Animator
from fomaug.faces import KEYPOINT_POINTS
from fomaug.networks import LiteConfig
from fomaug.training.faces.state import TrainState
from fomaug.weights import save_model


def to_animator(state: TrainState, *, name: str = "lite-256") -> Animator:
    """Make an animator of the averaged networks."""
    config = LiteConfig(state.config.detector, state.config.generator, 256, tuple(KEYPOINT_POINTS))
    return Animator(
        config,
        state.average["detector"],
        state.average["generator"],
        name=name,
        keypoint_names=config.keypoint_names,
    )


def export_model(state: TrainState, path: str | os.PathLike[str], *, facts: Mapping[str, Any] | None = None) -> Path:
    """Write the averaged networks as a model file.

    Args:
        state: of a training run.
        path: of the file; its stem is the model's name.
        facts: licence, data, measures.
    """
    known = {"recipe": "fomaug.training.faces", "steps": state.step, "seed": state.config.seed}
    return save_model(to_animator(state, name=Path(path).stem), path, facts={**known, **(facts or {})})
