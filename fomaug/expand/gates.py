"""Quality gates of an expansion: scores and thresholds of `fomaug.quality` for images of any size and depth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.animator import Animator
from fomaug.errors import ArgumentError
from fomaug.expand.copies import AnimatedCopy, Judge, Verdict
from fomaug.expand.plan import GateOption
from fomaug.faces import head_pose
from fomaug.media import Picture
from fomaug.motion import Angles
from fomaug.quality import Gates, Scores, judge, score
from fomaug.types import Keypoints

_MAX_SIDE: Final = 512  # larger images are scored at this size; no score needs more detail

Embed = Callable[[Tensor], Tensor]


def read_gates(option: GateOption) -> Gates | None:
    """Convert the option to thresholds; None stands for no gates.

    Raises:
        ArgumentError: a gate is unknown, or the word is neither on nor off.
    """
    if isinstance(option, Mapping):
        return Gates.from_dict(dict(option))
    if option not in ("on", "off"):
        raise ArgumentError(f"gates must be on, off or thresholds by name, got {option!r}")
    return Gates() if option == "on" else None


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
    gates: Gates | None,
    animator: Animator,
    embed: Embed | None = None,
    *,
    poses: bool = False,
    batch_size: int = 16,
) -> Judge | None:
    """Make the function that judges the copies of sources; None if there is nothing to judge or to measure.

    Args:
        gates: thresholds, or None.
        animator: model that made the copies.
        embed: face embedder for the gate `min_identity`: (N, 3, H, W) images in [0, 1] to (N, D).
        poses: whether the head poses of the copies are measured, for views.
        batch_size: largest number of copies of several sources that are scored in one pass.

    Raises:
        ArgumentError: the gate `min_identity` is set, and `embed` is missing.
    """
    if gates is None and not poses:
        return None
    if gates is not None and gates.min_identity is not None and embed is None:
        raise ArgumentError("gate min_identity needs a face embedder; call fomaug.expand(..., embed=...)")

    def judge_copies(
        pictures: Sequence[Picture], copies: Sequence[Sequence[AnimatedCopy]]
    ) -> Sequence[Sequence[Verdict]]:
        judged: dict[int, list[Verdict]] = {}
        for rows in _groups(pictures, copies, batch_size):
            group = _Group([pictures[row] for row in rows], [copies[row] for row in rows])
            verdicts = iter(_judge(animator, group, gates, embed, poses=poses))
            judged |= {row: [next(verdicts) for _ in copies[row]] for row in rows}
        return [judged[row] for row in range(len(pictures))]

    return judge_copies


class _Group(NamedTuple):
    """Pictures of one size, and the copies of each, equally many."""

    pictures: list[Picture]
    copies: list[Sequence[AnimatedCopy]]

    @property
    def flat(self) -> list[AnimatedCopy]:
        """All copies, those of the first picture first."""
        return [moved for copies in self.copies for moved in copies]


def _groups(
    pictures: Sequence[Picture], copies: Sequence[Sequence[AnimatedCopy]], batch_size: int
) -> Iterator[list[int]]:
    """Divide the rows of pictures into groups of one size and number of copies, which are scored in one pass."""

    def kind(row: int) -> tuple[Any, ...]:
        return len(copies[row]), pictures[row].size

    for (count, _), group in groupby(sorted(range(len(pictures)), key=kind), kind):
        rows, together = list(group), max(1, batch_size // max(count, 1))
        yield from (rows[start : start + together] for start in range(0, len(rows), together))


@torch.no_grad()
def _judge(
    animator: Animator, group: _Group, gates: Gates | None, embed: Embed | None, *, poses: bool
) -> list[Verdict]:
    if not group.flat:
        return []
    result = torch.cat([_to_unit(moved.picture) for moved in group.flat]).to(animator.device)
    found = animator.detect(result)
    verdicts = [Verdict()] * len(result)
    if gates is not None:
        scores = _score(animator, group, result, found, embed)
        verdicts = [Verdict(tuple(judge(own, gates)), _present(own.to_dict())) for own in scores]
    reached = read_poses(found, animator) if poses else [None] * len(result)
    return [replace(verdict, pose=pose) for verdict, pose in zip(verdicts, reached, strict=True)]


def _score(animator: Animator, group: _Group, result: Tensor, found: Keypoints, embed: Embed | None) -> list[Scores]:
    return score(
        animator,
        torch.cat([_to_unit(picture) for picture in group.pictures]).to(result.device),
        result,
        torch.cat([moved.flow for moved in group.flat]).to(result.device),
        torch.cat([moved.occlusion for moved in group.flat]).to(result.device),
        embed=embed,
        keypoints=_source_keypoints(group),
        found=found,
    )


def _source_keypoints(group: _Group) -> Keypoints | None:
    """Return the known keypoints of the pictures; None if they must be detected."""
    known = [copies[0].source_keypoints for copies in group.copies]
    # Those of a larger picture belong to its full size. Results are detected at the reduced size, where keypoints of a
    # small face differ by more than a gate allows.
    if None in known or max(group.pictures[0].size) > _MAX_SIDE:
        return None
    return Keypoints.cat([keypoints for keypoints in known if keypoints is not None])


def read_poses(keypoints: Keypoints, animator: Animator) -> list[Angles]:
    """Estimate head poses in degrees, see `fomaug.faces.head_pose`."""
    return [(yaw, pitch, roll) for yaw, pitch, roll in head_pose(keypoints, animator).tolist()]


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
