"""The arms of a study: no augmentation, classic augmentation, and copies, mixed into the batches in several ways."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from fomaug.animator import Animator
from fomaug.augment import MotionAugment
from fomaug.driving import DrivingPool, load_pool
from fomaug.errors import ArgumentError, PoolError, check_choice, shortened
from fomaug.files import SUMMARY, read_regular
from fomaug.media import decode_picture, encode_image
from fomaug.options import AUTO, DrawSettings, Purpose, preset_options, recommended_driving
from fomaug.study.faces import to_input
from fomaug.study.plan import StudyPlan, Switch
from fomaug.untrusted import load_json
from fomaug.weights import load_model

Order = Literal["any", "easy"]
Share = float | tuple[tuple[float, float], ...]

_EASIEST: Final = 0.25  # Share of a picture's copies, those that moved least, that training begins with.
_ALL: Final = 0.6  # Share of the steps after which all copies are used.
_QUALITIES: Final = (15, 70)  # JPEG qualities of degraded copies.
_SIDES: Final = (0.35, 0.9)  # Sides of degraded copies, as shares of the side of the input.
NONE, CLASSIC, COPIES = "none", "classic", "copies"
Options = Mapping[str, Any] | str | Path | MotionAugment
"""Keyword arguments of `MotionAugment` and `Mixture`, a JSON file with them, a pool specification, or a
`MotionAugment`."""


def _check_pairs(pairs: tuple[Any, ...]) -> None:
    begins = [pair[0] for pair in pairs if len(pair) == 2 and all(map(_is_share, pair))]
    if len(begins) != len(pairs) or begins[:1] != [0] or sorted(set(begins)) != begins:
        raise ArgumentError(
            "share of an arm as a schedule must be pairs (begin, share) in [0, 1] with growing begins from 0, such as "
            f"[[0, 0.5], [0.8, 0]], got {shortened(pairs)}"
        )


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


@dataclass(frozen=True)
class Mixture:
    """The settings of an arm in addition to those of its transform; None uses the setting of the study.

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


@dataclass(frozen=True, eq=False)
class Arm:
    """One way to train.

    Attributes:
        name: name given by the user.
        augment: transform that makes the copies; None for arms without copies.
        mixture: settings of the copies in training that differ from those of the study.
        driving: pool that drives the copies, as its specification or in words; None for arms without copies.
    """

    name: str
    augment: MotionAugment | None = None
    mixture: Mixture = PLAIN
    driving: str | None = None

    @property
    def classic(self) -> bool:
        """Whether classic augmentation is applied."""
        return self.name != NONE

    @property
    def title(self) -> str:
        """Name of the arm in tables."""
        return self.name if self.augment is None else f"classic + {self.name}"

    def to_dict(self) -> dict[str, Any]:
        """Return the settings of the copies as plain JSON, with the hashes of the pool and the model."""
        copies = None if self.augment is None else {**self.augment.to_dict(), **self.mixture.to_dict()}
        return {"name": self.name, "copies": copies}


@dataclass(frozen=True)
class Defaults:
    """Values for options that an arm does not give.

    Attributes:
        purpose: purpose of the arm "copies".
        seed: seed of the draws.
        device: device of the models that are loaded.
        choose_views: function that returns views for the poses of the dataset's pictures, for the purpose "auto".
    """

    purpose: Purpose
    seed: int
    device: str
    choose_views: Callable[[Animator], str]


def make_arms(named: Mapping[str, Options], defaults: Defaults) -> list[Arm]:
    """Make the two arms without copies, the arm with copies for the task, and the arms that the user names.

    Args:
        named: options of each further arm by its name; "copies" replaces the copies for the task.
        defaults: values for options that an arm does not give.

    Raises:
        ArgumentError: an option is unknown or cannot be used.
        PoolError: a pool cannot be read or does not fit the model.
    """
    for name in named:
        if name in (NONE, CLASSIC) or not re.fullmatch(r"[\w.+ -]+", name):
            raise ArgumentError(
                f"{name!r} cannot name an arm; use letters and digits, and another name than none and classic"
            )
    wanted: dict[str, Options] = {COPIES: {"purpose": defaults.purpose}, **named}
    with_copies = [_arm(name, options, defaults) for name, options in wanted.items()]
    return [Arm(NONE), Arm(CLASSIC), *with_copies]


def _arm(name: str, options: Options, defaults: Defaults) -> Arm:
    """Build an arm with copies; by default every copy moves."""
    if isinstance(options, MotionAugment):
        return Arm(name, options, driving=_described(options.to_dict()["driving"] or options.driving))
    values = _values(name, options)
    try:
        mixture = read_mixture({key: values.pop(key) for key in NAMES if key in values})
    except ArgumentError as cause:
        raise ArgumentError(f"arm {name!r}: {cause}") from cause
    augment, driving = _augment(name, {"p": 1.0, "seed": defaults.seed, **values}, defaults)
    return Arm(name, augment, mixture, driving)


def _augment(name: str, values: dict[str, Any], defaults: Defaults) -> tuple[MotionAugment, str]:
    model = values.pop("model", "lite-256")
    animator = model if isinstance(model, Animator) else load_model(str(model), device=defaults.device)
    purpose = values.pop("purpose", None)
    if purpose is not None:
        values = {**preset_options(purpose, values, ("driving", "strength_range", "region")), **values}
    driving = values.pop("driving", AUTO)
    if driving == AUTO:
        driving = _recommended(name, values, animator, defaults)
    pool = driving if isinstance(driving, DrivingPool) else load_pool(str(driving), animator)
    try:
        augment = MotionAugment.from_dict(values, driving=pool, model=animator)
    except (ArgumentError, TypeError) as cause:
        raise ArgumentError(f"arm {name!r}: {cause}") from cause
    described = _described(driving)
    return augment, described if purpose is None else f"{described} (purpose {purpose})"


def _recommended(name: str, values: Mapping[str, Any], animator: Animator, defaults: Defaults) -> str:
    """Return the pool that "auto" stands for, as in an expansion of the dataset."""
    names = {field.name for field in fields(DrawSettings)} - {"p"}
    try:
        settings = DrawSettings(**{key: value for key, value in values.items() if key in names})
        if defaults.purpose == "landmarks" or recommended_driving(settings) == "builtin":
            return "builtin"
        return defaults.choose_views(animator)
    except (ArgumentError, PoolError) as cause:
        raise type(cause)(f"arm {name!r}: {cause}; give another purpose, or the pool as driving") from cause


def _described(driving: object) -> str:
    return f"a pool of {len(driving)} tracks" if isinstance(driving, DrivingPool) else str(driving)


def _values(name: str, options: Mapping[str, Any] | str | Path) -> dict[str, Any]:
    if isinstance(options, Mapping):
        return dict(options)
    if Path(options).suffix.lower() != ".json":
        return {"driving": str(options)}
    try:
        content = read_regular(Path(options), SUMMARY)
    except OSError as cause:
        raise ArgumentError(f"arm {name!r}: {options} cannot be read: {cause.strerror or cause}") from cause
    values = load_json(content, options, ArgumentError)
    if not isinstance(values, dict):
        raise ArgumentError(f"arm {name!r}: {options} must hold one object with arguments of MotionAugment")
    return values
