"""Copies of sources: draw motion, animate pictures or faces by it, judge the results, and draw anew if they fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from torch import Tensor

from fomaug.augment import MotionAugment, MotionResult, animate_parts, apply
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.sources import Loaded
from fomaug.faces import MovedFace, Square, compose_motion, flow_cells, put_back
from fomaug.geometry import warp_image
from fomaug.media import Picture, to_tensor, to_unit
from fomaug.motion import Angles, MotionParams
from fomaug.types import Keypoints

_FACE_CELLS: Final = 64  # along the longer side of the smallest square, as in the flow of a whole picture

Draws = Sequence[Sequence[MotionParams]]


@dataclass(frozen=True, eq=False)
class AnimatedCopy:
    """One animated copy.

    Attributes:
        picture: copy, of its source's kind, size and depth.
        params: motion parameters, fitted to the source.
        flow: (1, h, w, 2) backward flow on the CPU, for the labels.
        occlusion: (1, 1, h, w).
        source_keypoints: keypoints of the source, on the model's device; None for a composed picture.
    """

    picture: Picture
    params: MotionParams
    flow: Tensor
    occlusion: Tensor
    source_keypoints: Keypoints | None = None


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
        waiting = [(source, own, _missing(source, own)) for source, own in zip(sources, found, strict=True)]
        waiting = [(source, outcomes, copies) for source, outcomes, copies in waiting if copies]
        if not waiting:
            break
        parts = [
            _Part(source, picture, own)
            for source, _, copies in waiting
            for picture, own in zip(source.parts, _draw(augment, source, copies, attempt, alike=alike), strict=True)
        ]
        moved = move(augment, [part.picture for part in parts], [part.draws for part in parts], batch_size=batch_size)
        judged = iter(zip(moved, _judge(parts, moved, judge), strict=True))
        for source, outcomes, copies in waiting:
            faces = [next(judged) for _ in source.parts]
            outcomes |= {outcome.copy: outcome for outcome in _outcomes(source, faces, copies, attempt)}
    return [[outcomes[copy] for copy in sorted(outcomes)] for outcomes in found]


class _Part(NamedTuple):
    """A face of a source, or the whole picture, and the draws of its missing copies."""

    source: Loaded
    picture: Picture
    draws: list[MotionParams]


def _missing(source: Loaded, outcomes: dict[int, Outcome]) -> list[int]:
    if source.still and outcomes:
        return []  # another draw does not add a face
    copies = range(source.job.copies)
    return [copy for copy in copies if copy not in outcomes or outcomes[copy].verdict.reasons]


def _draw(
    augment: MotionAugment, source: Loaded, copies: Sequence[int], attempt: int, *, alike: bool
) -> Iterator[list[MotionParams]]:
    """Draw the motion parameters of each face and copy."""
    key = source.job.source.key
    for face in range(len(source.parts)):
        keys = [f"{key}#{attempt}" if attempt else key]
        draws = augment.draw(keys, copies=source.job.copies, face=0 if alike else face)
        yield [draws[copy].at_rest() if source.still else draws[copy] for copy in copies]


def _judge(
    parts: Sequence[_Part], moved: Sequence[Sequence[AnimatedCopy]], judge: Judge | None
) -> list[Sequence[Verdict]]:
    """Judge the copies of each part; copies of a source without a face pass."""
    rows = [] if judge is None else [row for row, part in enumerate(parts) if not part.source.still]
    found = judge([parts[row].picture for row in rows], [moved[row] for row in rows]) if judge and rows else []
    verdicts = dict(zip(rows, found, strict=True))
    return [verdicts.get(row, [Verdict()] * len(copies)) for row, copies in enumerate(moved)]


def _outcomes(
    source: Loaded,
    faces: Sequence[tuple[Sequence[AnimatedCopy], Sequence[Verdict]]],
    copies: Sequence[int],
    attempt: int,
) -> Iterator[Outcome]:
    assert source.picture is not None
    for index, copy in enumerate(copies):
        verdicts = [of_face[index] for _, of_face in faces]
        worst = max(verdicts, key=lambda verdict: len(verdict.reasons))
        if source.still and copy:
            worst = Verdict(("no_face",))
        parts = [moved[index] for moved, _ in faces]
        whole = compose(source.picture, source.squares, parts) if source.squares and not worst.reasons else parts[0]
        poses = tuple(verdict.pose for verdict in verdicts)
        yield Outcome(copy, mirror(whole) if whole.params.mirrored else whole, attempt, worst, poses)


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
    animate, images = partial(apply, augment.model, augment.driving), [_to_image(picture) for picture in pictures]
    # Gates compare copies with their sources, so copies are mirrored after they have passed.
    upright = [[replace(draw, mirrored=False) for draw in part] for part in draws]
    for index, result, row in animate_parts(animate, images, upright, batch_size=batch_size):
        copy = _take(pictures[index], result, row)
        mirrored = draws[index][len(made[index])].mirrored
        made[index].append(replace(copy, params=replace(copy.params, mirrored=mirrored)))
    return made


def _to_image(picture: Picture) -> Tensor:
    """Convert the pixels to (C, H, W); 8 bits stay uint8, 16 bits become float in [0, 1]."""
    pixels = picture.pixels
    return (to_tensor(pixels) if pixels.dtype == np.uint8 else to_unit(pixels)).contiguous()


def _take(picture: Picture, result: MotionResult, row: int) -> AnimatedCopy:
    flow, occlusion = (part[row : row + 1].cpu() for part in (result.flow, result.occlusion))
    alpha = None if picture.alpha is None else warp_image(to_unit(picture.alpha)[None], flow, padding="border")[0]
    moved = picture.with_image(result.image[row].cpu(), alpha)
    keypoints = None if result.keypoints is None else result.keypoints[row]
    return AnimatedCopy(moved, result.params[row], flow, occlusion, keypoints)


def compose(picture: Picture, squares: Sequence[Square], faces: Sequence[AnimatedCopy]) -> AnimatedCopy:
    """Put animated faces back into their picture; flow and occlusion become those of the whole picture.

    Args:
        picture: whole picture.
        squares: squares that the faces were cut out of; later ones cover earlier ones.
        faces: animated squares.

    Returns:
        The whole picture; `params` is the first face's draw and holds the others, each with its box. Outside of the
        squares, the picture is unchanged, bit for bit.
    """
    moved = [
        MovedFace(square, face.picture.to_tensor()[None], face.flow, face.occlusion)
        for square, face in zip(squares, faces, strict=True)
    ]
    density = min(_FACE_CELLS / min(max(square.size) for square in squares), 1.0)
    flow, occlusion = compose_motion(picture.size, flow_cells(picture.size, density), moved)
    whole = picture.with_tensor(put_back(picture.to_tensor()[None], moved)[0])
    params = (replace(face.params, box=square.edges) for square, face in zip(squares, faces, strict=True))
    return AnimatedCopy(whole, MotionParams.of_faces(params), flow, occlusion)


def mirror(copy: AnimatedCopy) -> AnimatedCopy:
    """Mirror a copy, with the flow and the occlusion that move its labels."""
    picture = copy.picture
    alpha = None if picture.alpha is None else picture.alpha[:, ::-1].copy()
    mirrored = replace(picture, pixels=picture.pixels[:, ::-1].copy(), alpha=alpha)
    return replace(copy, picture=mirrored, flow=copy.flow.flip(2), occlusion=copy.occlusion.flip(3))
