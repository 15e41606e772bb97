"""Numbers of a configuration, checked before anything is built from them."""

from __future__ import annotations

import math
from typing import Any

from fomaug.errors import ArgumentError, shortened

_AT_LEAST_ONE = ("num_epochs", "num_repeats", "batch_size", "checkpoint_steps", "keep_checkpoints")
_NOT_NEGATIVE = ("lr_generator", "lr_discriminator", "lr_kp_detector", "seed")


def check_numbers(section: str, config: Any) -> None:
    """Refuse numbers that no training run can have.

    Raises:
        ArgumentError: for the first one, with what is expected.
    """
    for key in _AT_LEAST_ONE:
        value = getattr(config, key)
        if not _is_number(value, whole=True) or value < 1:
            raise ArgumentError(f"{section}.{key} must be a whole number of 1 or more, got {shortened(value)}")
    for key in _NOT_NEGATIVE:
        value = getattr(config, key)
        if not _is_number(value, whole=key == "seed") or value < 0:
            raise ArgumentError(
                f"{section}.{key} must be a number of 0 or more, got {shortened(value)}{_exponent(value)}"
            )
    if not _is_number(config.ema) or not 0 <= config.ema < 1:
        raise ArgumentError(f"{section}.ema must be at least 0 and less than 1, got {shortened(config.ema)}")
    if not config.scales or not all(_is_number(scale) and 0 < scale <= 1 for scale in config.scales):
        raise ArgumentError(f"{section}.scales must be numbers above 0 and up to 1, got {shortened(config.scales)}")


def _is_number(value: object, *, whole: bool = False) -> bool:
    kinds = (int,) if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and -math.inf < value < math.inf


def _exponent(value: object) -> str:
    return "; YAML reads 2e-4 as a word, write 2.0e-4" if isinstance(value, str) else ""
