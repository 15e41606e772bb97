"""How the copies of an arm are mixed into its batches: share, number, gates, order and degradation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from fomaug.errors import ArgumentError, check_choice, shortened
from fomaug.media import decode_picture, encode_image
from fomaug.study.pictures import to_input
from fomaug.study.plan import StudyPlan, Switch

Order = Literal["any", "easy"]
Share = float | tuple[tuple[float, float], ...]

_EASIEST: Final = 0.25  # Share of a picture's copies, those that moved least, that training begins with.
_ALL: Final = 0.6  # Share of the steps after which all copies are used.
_QUALITIES: Final = (15, 70)  # JPEG qualities of degraded copies.
_SIDES: Final = (0.35, 0.9)  # Sides of degraded copies, as shares of the side of the input.


def _check_pairs(pairs: tuple[Any, ...]) -> None:
    begins = [pair[0] for pair in pairs if len(pair) == 2 and all(map(_is_share, pair))]
    if len(begins) != len(pairs) or begins[:1] != [0] or sorted(set(begins)) != begins:
        raise ArgumentError(
            "share of an arm as a schedule has pairs (begin, share) in [0, 1] with growing begins from 0, such as "
            f"[[0, 0.5], [0.8, 0]], got {shortened(pairs)}"
        )


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


@dataclass(frozen=True)
class Mixture:
    """The settings of an arm beside those of its transform; None takes the study's own.

    Attributes:
        share: share of copies in a batch; or pairs (begin, share), each from that share of the steps on, the first from
            0.
        copies: number of copies of each training picture.
        gates: whether the gates judge the copies.
        order: "easy" begins with the copies that moved least.
        degrade: share of the copies that are reduced to few pixels and coded as JPEG, drawn anew in every batch.
    """

    share: Share | None = None
    copies: int | None = None
    gates: Switch | None = None
    order: Order = "any"
    degrade: float = 0.0

    def __post_init__(self) -> None:
        if self.gates is not None:
            check_choice("gates", self.gates, get_args(Switch))
        check_choice("order", self.order, get_args(Order))
        if self.copies is not None and (type(self.copies) is not int or self.copies < 1):
            raise ArgumentError(f"copies of an arm must be a number from 1, got {shortened(self.copies)}")
        if not _is_share(self.degrade):
            raise ArgumentError(f"degrade must be a share in [0, 1], got {shortened(self.degrade)}")
        if isinstance(self.share, tuple):
            _check_pairs(self.share)
        elif self.share is not None and not _is_share(self.share):
            raise ArgumentError(f"share of an arm must be in [0, 1], got {shortened(self.share)}")

    def share_at(self, progress: float, plan: StudyPlan) -> float:
        """Return the share of copies in a batch at a share of the steps, in [0, 1)."""
        if self.share is None:
            return plan.share
        if isinstance(self.share, tuple):
            return [share for begin, share in self.share if begin <= progress][-1]
        return self.share

    def num_copies(self, plan: StudyPlan) -> int:
        """Return the number of copies of each training picture."""
        return self.copies or plan.copies

    def window(self, progress: float) -> float:
        """Return the share of a picture's copies, those that moved least, that are used at a share of the steps."""
        return 1.0 if self.order == "any" else min(1.0, _EASIEST + (1 - _EASIEST) * progress / _ALL)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings that differ from the default, as plain JSON."""
        default = asdict(Mixture())
        return {name: value for name, value in asdict(self).items() if value != default[name]}


PLAIN: Final = Mixture()
"""The mixture that follows the settings of the study."""

NAMES: Final = tuple(field.name for field in fields(Mixture))


def read_mixture(values: Mapping[str, Any]) -> Mixture:
    """Make a mixture of plain values; lists become tuples."""
    plain = dict(values)
    if isinstance(share := plain.get("share"), Sequence) and not isinstance(share, str):
        plain["share"] = tuple(tuple(pair) if isinstance(pair, Sequence) else (pair,) for pair in share)
    return Mixture(**plain)


def degrade(images: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Reduce a share of the images to few pixels and code them as JPEG.

    Args:
        images: (B, C, S, S) uint8, C being 1 or 3.
        share: probability that an image is degraded.
        rng: generator of all random numbers.

    Returns:
        (B, C, S, S) uint8.
    """
    chosen = np.flatnonzero(rng.random(len(images)) < share)
    sides = (rng.uniform(*_SIDES, len(chosen)) * images.shape[-1]).astype(int).clip(8)
    qualities = rng.integers(*_QUALITIES, len(chosen))
    found = images.clone()
    for index, side, quality in zip(chosen.tolist(), sides.tolist(), qualities.tolist(), strict=True):
        found[index] = _coded(images[index], side, quality)
    return found


def _coded(image: Tensor, side: int, quality: int) -> Tensor:
    pixels = image.permute(1, 2, 0).numpy()
    small = to_input(pixels, side).permute(1, 2, 0).numpy()
    coarse = to_input(small, len(pixels)).permute(1, 2, 0).numpy()
    content = encode_image(coarse[..., 0] if coarse.shape[2] == 1 else coarse, "jpeg", quality=quality)
    return torch.from_numpy(decode_picture(content, ".jpg").pixels.astype(np.uint8)).permute(2, 0, 1)
