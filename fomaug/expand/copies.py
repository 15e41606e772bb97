"""Draw, animate, judge, and draw again: what becomes of the copies of a few sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fomaug.augment import MotionAugment
from fomaug.expand.compose import compose
from fomaug.expand.load import Loaded
from fomaug.expand.move import Moved, move
from fomaug.media import Picture
from fomaug.motion import MotionParams


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
    augment: MotionAugment,
    sources: Sequence[Loaded],
    judge: Judge | None,
    *,
    tries: int,
    batch_size: int,
    alike: bool = False,
) -> list[list[Outcome]]:
    """Make all copies of some sources; what the gates refuse is drawn anew.

    Args:
        augment: draws and applies.
        sources: with their pictures.
        judge: the gates; None lets everything pass.
        tries: draws for a copy before it is given up.
        batch_size: copies in one pass.
        alike: all faces of a copy move by one draw; otherwise each by its own.

    Returns:
        For each source the outcome of each copy, in order; those given up carry their reasons.
    """
    found: list[dict[int, Outcome]] = [{} for _ in sources]
    for attempt in range(tries):
        missing = [_missing(source, outcomes) for source, outcomes in zip(sources, found, strict=True)]
        rows = [row for row, copies in enumerate(missing) if copies]
        if not rows:
            break
        draws = [_draw(augment, sources[row], missing[row], attempt, alike=alike) for row in rows]
        made = _animate(augment, [sources[row] for row in rows], draws, batch_size)
        for row, faces in zip(rows, made, strict=True):
            for outcome in _outcomes(sources[row], faces, missing[row], attempt, judge):
                found[row][outcome.copy] = outcome
    return [[outcomes[copy] for copy in sorted(outcomes)] for outcomes in found]


def _animate(
    augment: MotionAugment, sources: Sequence[Loaded], draws: Sequence[list[list[MotionParams]]], batch_size: int
) -> list[list[list[Moved]]]:
    """For each source and each of its faces the copies."""
    parts = [source.parts for source in sources]
    flat = [part for pictures in parts for part in pictures]
    moved = iter(move(augment, flat, [draw for faces in draws for draw in faces], batch_size=batch_size))
    return [[next(moved) for _ in pictures] for pictures in parts]


def _outcomes(
    source: Loaded, faces: Sequence[Sequence[Moved]], copies: Sequence[int], attempt: int, judge: Judge | None
) -> Iterator[Outcome]:
    assert source.picture is not None
    judged = judge if not source.still else None
    verdicts = [
        judged(part, moved) if judged else [Verdict()] * len(moved)
        for part, moved in zip(source.parts, faces, strict=True)
    ]
    for place, copy in enumerate(copies):
        verdict = _worst([of_face[place] for of_face in verdicts])
        if source.still and copy:
            verdict = Verdict(("no_face",))
        parts = [moved[place] for moved in faces]
        whole = compose(source.picture, source.regions, parts) if source.regions and not verdict.reasons else parts[0]
        yield Outcome(copy, whole, attempt, verdict)


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    return max(verdicts, key=lambda verdict: len(verdict.reasons))


def _missing(source: Loaded, outcomes: dict[int, Outcome]) -> list[int]:
    copies = range(source.job.copies)
    if source.still and outcomes:
        return []  # another draw finds no face, either
    return [copy for copy in copies if copy not in outcomes or outcomes[copy].verdict.reasons]


def _draw(
    augment: MotionAugment, source: Loaded, copies: Sequence[int], attempt: int, *, alike: bool
) -> list[list[MotionParams]]:
    """The draws of each face; `alike` gives all faces of a copy the first one's."""
    key = source.job.source.key
    named = [f"{key}#{attempt}" if attempt else key]
    faces = [
        augment.draw(named, copies=source.job.copies, face=0 if alike else face) for face in range(len(source.parts))
    ]
    return [[draws[copy].at_rest() if source.still else draws[copy] for copy in copies] for draws in faces]
