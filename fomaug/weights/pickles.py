"""Pickles, read without running anything that is in them.

This is the one file that calls `torch.load`, and only with `weights_only=True`.
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch

from fomaug.errors import WeightsError, reason_of
from fomaug.weights.places import check_model_file


def read_pickle(path: Path) -> Any:
    """Read a file that `torch.save` wrote: tensors, numbers, strings and containers of them, on the CPU.

    Raises:
        WeightsError: if it is damaged, or holds anything else.
    """
    check_model_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of pickle protocols; what matters is whether it loads
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than tensors and plain values, which could run code; nothing of it was run. "
            "Official checkpoints hold none: get the file from its publisher"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise WeightsError(f"{path} is damaged ({reason_of(error)}); was the download cut short?") from error
