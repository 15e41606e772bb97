"""Checkpoints: written whole or not at all, few kept, read without running code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fomaug.errors import ResumeError
from fomaug.files import replacing
from fomaug.weights.pickles import read_pickle

_PATTERN = "step-*.pt"


def save_checkpoint(run: Path, step: int, content: Mapping[str, Any], *, keep: int) -> Path:
    """Write a checkpoint under a temporary name, rename it, then drop the oldest beyond `keep`."""
    target = run / f"step-{step:08d}.pt"
    with replacing(target) as temporary:
        torch.save(dict(content), temporary)
    for old in sorted(run.glob(_PATTERN))[:-keep]:
        old.unlink()
    return target


def last_checkpoint(run: Path) -> dict[str, Any] | None:
    """Read the newest checkpoint of a run; None where there is none.

    Raises:
        ResumeError: if it holds something else.
        WeightsError: if it is damaged.
    """
    found = sorted(run.glob(_PATTERN))
    if not found:
        return None
    content = read_pickle(found[-1])
    if not isinstance(content, dict) or "step" not in content:
        raise ResumeError(f"{found[-1]} is no checkpoint of a training run")
    return content
