"""Copies of sources: draw motion, animate pictures or faces by it, judge the results, and draw anew if they fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Final

import numpy as np
from torch import Tensor

from fomaug.augment import MotionAugment, MotionResult
from fomaug.augment.render import render
from fomaug.expand.compose import AnimatedCopy, compose, mirror
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.sources import Loaded
from fomaug.geometry import warp_image
from fomaug.media import Picture, to_tensor, to_unit
from fomaug.motion import Angles, MotionParams
from fomaug.types import Keypoints

_MOST_PIXELS: Final = 16_000_000  # of all results of one pass; larger batches are split

Draws = Sequence[Sequence[MotionParams]]


@dataclass(frozen=True)
class Verdict:
    """Result of the gates for one copy.

    Attributes:
        reasons: names of the failed gates, with numbers; empty for an accepted copy.
        scores: scores by name.
        pose: estimated head pose of the copy, for views; otherwise None.
    """

    reasons: tuple[str, ...] = ()
    scores: dict[str, Any] = field(default_factory=dict)
    pose: Angles | None = None


# Maps pictures and the copies of each to the verdicts of each.
Judge = Callable[[Sequence[Picture], Sequence[Sequence[AnimatedCopy]]], Sequence[Sequence[Verdict]]]


@dataclass(frozen=True, eq=False)
class Outcome:
    """The last attempt at one copy.

    Attributes:
        copy: number of the copy.
        moved: animated picture.
        attempt: number of earlier attempts.
        verdict: result of the gates.
        poses: estimated head pose of each face before the copy was mirrored, for views; otherwise None for each.
    """

    copy: int
    moved: AnimatedCopy
    attempt: int
    verdict: Verdict
    poses: tuple[Angles | None, ...] = ()


def make_planned(
    plan: ExpandPlan, augment: MotionAugment, sources: Sequence[Loaded], judge: Judge | None
) -> list[list[Outcome]]:
    """Make all copies of some sources as a plan says, see `make_copies`."""
    return make_copies(
        augment,
        sources,
        judge,
        # The copies of a sequence are frames of one clip; a new draw would take another clip.
        tries=1 if plan.selection == "sequence" else plan.tries,
        batch_size=plan.batch_size,
        # A copy has one label, so all its faces move by the clip that the label comes from.
        alike=plan.labels == "from_clip",
    )


def make_copies(
    augment: MotionAugment,
    sources: Sequence[Loaded],
    judge: Judge | None,
    *,
    tries: int,
    batch_size: int,
    alike: bool = False,
) -> list[list[Outcome]]:
    """Make all copies of some sources; draw anew for copies that the gates reject.

    Args:
        augment: transform that draws and applies motion.
        sources: loaded sources with their pictures.
        judge: gates; None accepts every copy.
        tries: largest number of draws for a copy.
        batch_size: number of copies in one pass.
        alike: True for one draw for all faces of a copy, False for one draw for each face.

    Returns:
        The outcomes of each source by copy; the verdict of a rejected copy has reasons.
    """
    found: list[dict[int, Outcome]] = [{} for _ in sources]
    for attempt in range(tries):
        missing = [_missing(source, outcomes) for source, outcomes in zip(sources, found, strict=True)]
        rows = [row for row, copies in enumerate(missing) if copies]
        if not rows:
            break
        chosen = [sources[row] for row in rows]
        draws = [_draw(augment, sources[row], missing[row], attempt, alike=alike) for row in rows]
        made = _animate(augment, chosen, draws, batch_size)
        for row, faces, verdicts in zip(rows, made, _judge(chosen, made, judge), strict=True):
            for outcome in _outcomes(sources[row], faces, missing[row], attempt, verdicts):
                found[row][outcome.copy] = outcome
    return [[outcomes[copy] for copy in sorted(outcomes)] for outcomes in found]


def _missing(source: Loaded, outcomes: dict[int, Outcome]) -> list[int]:
    if source.still and outcomes:
        return []  # another draw does not add a face
    copies = range(source.job.copies)
    return [copy for copy in copies if copy not in outcomes or outcomes[copy].verdict.reasons]


def _draw(
    augment: MotionAugment, source: Loaded, copies: Sequence[int], attempt: int, *, alike: bool
) -> list[list[MotionParams]]:
    """Draw the motion parameters of each face and copy."""
    key = source.job.source.key
    keys = [f"{key}#{attempt}" if attempt else key]
    faces = [
        augment.draw(keys, copies=source.job.copies, face=0 if alike else face) for face in range(len(source.parts))
    ]
    return [[draws[copy].at_rest() if source.still else draws[copy] for copy in copies] for draws in faces]


def _animate(
    augment: MotionAugment, sources: Sequence[Loaded], draws: Sequence[list[list[MotionParams]]], batch_size: int
) -> list[list[list[AnimatedCopy]]]:
    """Animate the copies of each source and face."""
    parts = [source.parts for source in sources]
    flat = [part for pictures in parts for part in pictures]
    moved = iter(move(augment, flat, [draw for faces in draws for draw in faces], batch_size=batch_size))
    return [[next(moved) for _ in pictures] for pictures in parts]


def _judge(
    sources: Sequence[Loaded], made: Sequence[Sequence[Sequence[AnimatedCopy]]], judge: Judge | None
) -> list[list[Sequence[Verdict]]]:
    """Judge the copies of each source and face; copies of a source without a face pass."""
    judged = [judge is not None and not source.still for source in sources]
    parts = [part for source, is_judged in zip(sources, judged, strict=True) if is_judged for part in source.parts]
    copies = [moved for faces, is_judged in zip(made, judged, strict=True) if is_judged for moved in faces]
    found = iter(judge(parts, copies) if judge else [])
    return [
        [next(found) if is_judged else [Verdict()] * len(moved) for moved in faces]
        for faces, is_judged in zip(made, judged, strict=True)
    ]


def _outcomes(
    source: Loaded,
    faces: Sequence[Sequence[AnimatedCopy]],
    copies: Sequence[int],
    attempt: int,
    verdicts: Sequence[Sequence[Verdict]],
) -> Iterator[Outcome]:
    assert source.picture is not None
    for index, copy in enumerate(copies):
        verdict = _worst([of_face[index] for of_face in verdicts])
        if source.still and copy:
            verdict = Verdict(("no_face",))
        parts = [moved[index] for moved in faces]
        whole = compose(source.picture, source.squares, parts) if source.squares and not verdict.reasons else parts[0]
        poses = tuple(of_face[index].pose for of_face in verdicts)
        yield Outcome(copy, mirror(whole) if whole.params.mirrored else whole, attempt, verdict, poses)


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    return max(verdicts, key=lambda verdict: len(verdict.reasons))


def move(
    augment: MotionAugment, pictures: Sequence[Picture], draws: Draws, *, batch_size: int
) -> list[list[AnimatedCopy]]:
    """Animate pictures, each as often as it has draws.

    Args:
        augment: augmentation that applies the draws.
        pictures: pictures of any sizes and kinds.
        draws: motion parameters of each picture, in any numbers.
        batch_size: largest number of copies in one pass.

    Returns:
        The copies of each picture.
    """
    made: list[list[AnimatedCopy]] = [[] for _ in pictures]
    for rows, parts in _passes(pictures, draws, batch_size):
        images = _to_images([pictures[row] for row in rows])
        # Gates compare copies with their sources, so copies are mirrored after they have passed.
        upright = [replace(param, mirrored=False) for part in parts for param in part]
        result, found = render(augment.model, augment.driving, images, upright)
        for position in range(len(result.params)):
            index = position // len(parts[0])
            copy = _take(pictures[rows[index]], result, position, found.get(index))
            mirrored = parts[index][position % len(parts[0])].mirrored
            made[rows[index]].append(replace(copy, params=replace(copy.params, mirrored=mirrored)))
    return made


def _passes(pictures: Sequence[Picture], draws: Draws, batch_size: int) -> Iterator[tuple[list[int], Draws]]:
    """Yield batches: pictures of one shape, dtype and number of draws, or part of one picture's draws."""

    def kind(row: int) -> tuple[Any, ...]:
        return pictures[row].pixels.shape, str(pictures[row].pixels.dtype), len(draws[row])

    for (shape, _, copies), group in groupby(sorted(range(len(pictures)), key=kind), kind):
        rows = list(group)
        most = max(1, min(batch_size, _MOST_PIXELS // (shape[0] * shape[1])))
        together = most // copies if copies else 0
        if together:
            for start in range(0, len(rows), together):
                part = rows[start : start + together]
                yield part, [draws[row] for row in part]
        else:
            for row in rows:
                for start in range(0, copies, most):
                    yield [row], [draws[row][start : start + most]]


def _to_images(pictures: Sequence[Picture]) -> Tensor:
    """Stack pictures of one kind to (B, C, H, W); 8 bits stay uint8, 16 bits become float in [0, 1]."""
    stack = np.stack([picture.pixels for picture in pictures])
    return (to_tensor(stack) if stack.dtype == np.uint8 else to_unit(stack)).contiguous()


def _take(picture: Picture, result: MotionResult, row: int, keypoints: Keypoints | None) -> AnimatedCopy:
    flow = result.flow[row : row + 1].cpu()
    alpha = None if picture.alpha is None else warp_image(to_unit(picture.alpha)[None], flow, padding="border")[0]
    moved = picture.with_image(result.image[row].cpu(), alpha)
    return AnimatedCopy(moved, result.params[row], flow, result.occlusion[row : row + 1].cpu(), keypoints)
