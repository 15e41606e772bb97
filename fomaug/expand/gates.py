"""Quality gates of an expansion: scores and thresholds of `fomaug.quality` for images of any size and depth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.animator import Animator
from fomaug.errors import ArgumentError
from fomaug.expand.copies import AnimatedCopy, Judge, Verdict
from fomaug.expand.plan import GateOption
from fomaug.media import Picture
from fomaug.quality import Gates, Scores, judge, score
from fomaug.types import Keypoints

_MAX_SIDE: Final = 512  # larger images are scored at this size; no score needs more detail

Embed = Callable[[Tensor], Tensor]


def read_gates(option: GateOption) -> Gates | None:
    """Convert the option to thresholds; None stands for no gates.

    Raises:
        ArgumentError: a gate is unknown, or the word is neither on nor off.
    """
    if isinstance(option, str):
        if option not in ("on", "off"):
            raise ArgumentError(f"gates must be on, off or thresholds by name, got {option!r}")
        return Gates() if option == "on" else None
    return Gates.from_dict(dict(option))


def parse_gates(text: str) -> str | dict[str, float | None]:
    """Parse the option `gates`: a word, or NAME=THRESHOLD pairs separated by commas; NAME=none disables a gate.

    >>> parse_gates("on"), parse_gates("max_folded=0.1,max_residual=none")
    ('on', {'max_folded': 0.1, 'max_residual': None})
    """
    if "=" not in text:
        return text
    pairs = [pair.partition("=") for pair in text.split(",")]
    try:
        return {name.strip(): None if value == "none" else float(value) for name, _, value in pairs}
    except ValueError as cause:
        raise ArgumentError(f"gates must be NAME=THRESHOLD pairs with commas between, got {text!r}") from cause


def make_judge(
    gates: Gates | None, animator: Animator, embed: Embed | None = None, *, batch_size: int = 16
) -> Judge | None:
    """Make the function that judges the copies of sources; None without gates.

    Args:
        gates: thresholds, or None.
        animator: model that made the copies.
        embed: face embedder for the gate `min_identity`: (N, 3, H, W) images in [0, 1] to (N, D).
        batch_size: largest number of copies of several sources that are scored in one pass.

    Raises:
        ArgumentError: the gate `min_identity` is set, and `embed` is missing.
    """
    if gates is None:
        return None
    if gates.min_identity is not None and embed is None:
        raise ArgumentError("gate min_identity needs a face embedder; call fomaug.expand(..., embed=...)")

    def judge_copies(
        pictures: Sequence[Picture], copies: Sequence[Sequence[AnimatedCopy]]
    ) -> Sequence[Sequence[Verdict]]:
        found: dict[int, list[Verdict]] = {}
        for rows in _groups(pictures, copies, batch_size):
            scores = iter(_score(animator, [pictures[row] for row in rows], [copies[row] for row in rows], embed))
            found |= {row: [_verdict(next(scores), gates) for _ in copies[row]] for row in rows}
        return [found[row] for row in range(len(pictures))]

    return judge_copies


def _groups(
    pictures: Sequence[Picture], copies: Sequence[Sequence[AnimatedCopy]], batch_size: int
) -> Iterator[list[int]]:
    """Divide pictures into groups of one size and number of copies, which are scored in one pass."""

    def kind(row: int) -> tuple[Any, ...]:
        return len(copies[row]), pictures[row].size

    for (count, _), group in groupby(sorted(range(len(pictures)), key=kind), kind):
        rows, together = list(group), max(1, batch_size // max(count, 1))
        yield from (rows[start : start + together] for start in range(0, len(rows), together))


@torch.no_grad()
def _score(
    animator: Animator, pictures: Sequence[Picture], copies: Sequence[Sequence[AnimatedCopy]], embed: Embed | None
) -> list[Scores]:
    """Score the copies of pictures of one size, all copies of the first picture first."""
    flat = [moved for group in copies for moved in group]
    if not flat:
        return []
    device = animator.device
    return score(
        animator,
        torch.cat([_to_unit(picture) for picture in pictures]).to(device),
        torch.cat([_to_unit(moved.picture) for moved in flat]).to(device),
        torch.cat([moved.flow for moved in flat]).to(device),
        torch.cat([moved.occlusion for moved in flat]).to(device),
        keypoints=_source_keypoints(pictures, copies),
        embed=embed,
    )


def _source_keypoints(pictures: Sequence[Picture], copies: Sequence[Sequence[AnimatedCopy]]) -> Keypoints | None:
    """Return the known keypoints of pictures of one size; None if they must be detected."""
    known = [group[0].source_keypoints for group in copies]
    # Those of a larger picture belong to its full size. Results are detected at the reduced size, where keypoints of a
    # small face differ by more than a gate allows.
    if None in known or max(pictures[0].size) > _MAX_SIDE:
        return None
    return Keypoints.cat([keypoints for keypoints in known if keypoints is not None])


def _verdict(scores: Scores, gates: Gates) -> Verdict:
    return Verdict(tuple(judge(scores, gates)), _present(scores.to_dict()))


def _present(scores: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in scores.items() if value is not None}


def _to_unit(picture: Picture) -> Tensor:
    """Convert a picture to (1, 3, H, W), float in [0, 1], with no side above `_MAX_SIDE`."""
    image = picture.to_unit()
    longest = max(picture.size)
    if longest <= _MAX_SIDE:
        return image
    size = [max(1, round(side * _MAX_SIDE / longest)) for side in picture.size]
    return F.interpolate(image, size=size, mode="bilinear", antialias=True)
