"""Draw, animate, judge, and draw again: what becomes of the copies of a few sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fomaug.augment import MotionAugment, MotionParams
from fomaug.expand._load import Loaded
from fomaug.expand._move import Moved, move
from fomaug.writers import Picture


@dataclass(frozen=True)
class Verdict:
    """What the gates say of one copy.

    Attributes:
        reasons: names of the gates it did not pass; empty for a good copy.
        scores: what they measured.
    """

    reasons: tuple[str, ...] = ()
    scores: dict[str, Any] = field(default_factory=dict)


Judge = Callable[[Picture, Sequence[Moved]], Sequence[Verdict]]


@dataclass(frozen=True, eq=False)
class Outcome:
    """The last attempt at one copy.

    Attributes:
        copy: its number.
        moved: the picture.
        attempt: draws before this one.
        verdict: on the picture.
    """

    copy: int
    moved: Moved
    attempt: int
    verdict: Verdict


def make_copies(
    augment: MotionAugment, sources: Sequence[Loaded], judge: Judge | None, *, tries: int, batch_size: int
) -> list[list[Outcome]]:
    """Make all copies of some sources; what the gates refuse is drawn anew.

    Args:
        augment: draws and applies.
        sources: with their pictures.
        judge: the gates; None lets everything pass.
        tries: draws for a copy before it is given up.
        batch_size: copies in one pass.

    Returns:
        For each source the outcome of each copy, in order; those given up carry their reasons.
    """
    found: list[dict[int, Outcome]] = [{} for _ in sources]
    for attempt in range(tries):
        missing = [_missing(source, outcomes) for source, outcomes in zip(sources, found, strict=True)]
        rows = [row for row, copies in enumerate(missing) if copies]
        if not rows:
            break
        pictures = [_picture(sources[row]) for row in rows]
        draws = [_draw(augment, sources[row], missing[row], attempt) for row in rows]
        for row, picture, moved in zip(
            rows, pictures, move(augment, pictures, draws, batch_size=batch_size), strict=True
        ):
            verdicts = judge(picture, moved) if judge else [Verdict()] * len(moved)
            for copy, one, verdict in zip(missing[row], moved, verdicts, strict=True):
                found[row][copy] = Outcome(copy, one, attempt, verdict)
    return [[outcomes[copy] for copy in sorted(outcomes)] for outcomes in found]


def _missing(source: Loaded, outcomes: dict[int, Outcome]) -> list[int]:
    copies = range(source.job.copies)
    return [copy for copy in copies if copy not in outcomes or outcomes[copy].verdict.reasons]


def _draw(augment: MotionAugment, source: Loaded, copies: Sequence[int], attempt: int) -> list[MotionParams]:
    key = source.job.source.key
    draws = augment.draw([f"{key}#{attempt}" if attempt else key], copies=source.job.copies)
    return [draws[copy] for copy in copies]


def _picture(source: Loaded) -> Picture:
    assert source.picture is not None
    return source.picture
