"""Copies of sources: load a source, draw and animate its copies, judge them, and encode them with their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fomaug.animator import Animator
from fomaug.augment import MotionAugment
from fomaug.errors import MediaError, reason_of
from fomaug.expand.annotate import to_json
from fomaug.expand.formats import Sample
from fomaug.expand.gates import Judge, Verdict
from fomaug.expand.jobs import Job
from fomaug.expand.manifest import Row
from fomaug.expand.move import Moved, compose, move
from fomaug.expand.names import copy_label, copy_name
from fomaug.expand.plan import ExpandPlan
from fomaug.faces import Square
from fomaug.files import PICTURE, read_regular
from fomaug.labels import FaceLabels, Flaw
from fomaug.media import Picture, Provenance, decode_picture, encode_image
from fomaug.motion import MotionParams


@dataclass(frozen=True, eq=False)
class Loaded:
    """A loaded source, or the reason why it cannot be used.

    Attributes:
        job: source and number of copies.
        picture: decoded image; None if it cannot be used.
        hash: sha256 of the file.
        reason: reason why the source cannot be used.
        squares: squares around the faces, each animated on its own; empty for the whole picture.
        still: True for a source without a face that is copied once, unchanged.
        labels: labels of the source; None without annotations.
        flaws: annotations that were left out because they belong to an image of another size.
    """

    job: Job
    picture: Picture | None
    hash: str = ""
    reason: str = ""
    squares: tuple[Square, ...] = ()
    still: bool = False
    labels: FaceLabels | None = None
    flaws: tuple[Flaw, ...] = ()

    @property
    def parts(self) -> list[Picture]:
        """Pictures to animate: the faces, or the whole picture."""
        assert self.picture is not None
        return [square.cut_picture(self.picture) for square in self.squares] or [self.picture]


@dataclass(frozen=True, eq=False)
class Outcome:
    """The last attempt at one copy.

    Attributes:
        copy: number of the copy.
        moved: animated picture.
        attempt: number of earlier attempts.
        verdict: result of the gates.
    """

    copy: int
    moved: Moved
    attempt: int
    verdict: Verdict


def load(job: Job, max_pixels: int) -> Loaded:
    """Load the source of a job; the result carries a reason if the file cannot be read."""
    try:
        content = read_regular(job.source.path, PICTURE)
    except OSError as cause:
        return Loaded(job, None, reason=f"cannot be read: {reason_of(cause)}")
    try:
        picture = decode_picture(content, Path(job.source.key).suffix, max_pixels=max_pixels)
    except MediaError as cause:
        return Loaded(job, None, reason=str(cause))
    return Loaded(job, picture, hashlib.sha256(content).hexdigest())


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
        draws = [_draw(augment, sources[row], missing[row], attempt, alike=alike) for row in rows]
        made = _animate(augment, [sources[row] for row in rows], draws, batch_size)
        for row, faces in zip(rows, made, strict=True):
            for outcome in _outcomes(sources[row], faces, missing[row], attempt, judge):
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
) -> list[list[list[Moved]]]:
    """Animate the copies of each source and face."""
    parts = [source.parts for source in sources]
    flat = [part for pictures in parts for part in pictures]
    moved = iter(move(augment, flat, [draw for faces in draws for draw in faces], batch_size=batch_size))
    return [[next(moved) for _ in pictures] for pictures in parts]


def _outcomes(
    source: Loaded, faces: Sequence[Sequence[Moved]], copies: Sequence[int], attempt: int, judge: Judge | None
) -> Iterator[Outcome]:
    assert source.picture is not None
    judge = judge if not source.still else None
    verdicts = [
        judge(part, moved) if judge else [Verdict()] * len(moved)
        for part, moved in zip(source.parts, faces, strict=True)
    ]
    for index, copy in enumerate(copies):
        verdict = _worst([of_face[index] for of_face in verdicts])
        if source.still and copy:
            verdict = Verdict(("no_face",))
        parts = [moved[index] for moved in faces]
        whole = compose(source.picture, source.squares, parts) if source.squares and not verdict.reasons else parts[0]
        yield Outcome(copy, whole, attempt, verdict)


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    return max(verdicts, key=lambda verdict: len(verdict.reasons))


def encode_copy(
    loaded: Loaded, outcome: Outcome, model: Animator, plan: ExpandPlan, annotation: FaceLabels | None = None
) -> Sample:
    """Encode one copy and make its manifest row. An unchanged copy has no provenance mark, since no model made it.

    Args:
        loaded: source of the copy.
        outcome: animated copy.
        model: model that animated the copy.
        plan: settings for encoding and naming.
        annotation: labels of the copy.
    """
    source, picture = loaded.job.source, outcome.moved.picture
    encode_format = picture.encode_format if plan.image_format == "same" else plan.image_format
    label = copy_label(plan.labels, source.label, outcome.moved.params.label, still=loaded.still)
    provenance = None if loaded.still else _provenance(loaded, outcome.moved, model)
    content = encode_image(
        picture.whole, encode_format, provenance=provenance, quality=plan.quality, icc_profile=picture.icc_profile
    )
    row = _row(loaded, outcome, model, content, label, annotation)
    name = copy_name(source, loaded.job.stem, outcome.copy, label, encode_format)
    return Sample(name, content, provenance.to_xmp() if provenance and encode_format == "bmp" else None, row)


def _row(
    loaded: Loaded, outcome: Outcome, model: Animator, content: bytes, label: str, annotation: FaceLabels | None
) -> Row:
    source = loaded.job.source
    return {
        "source": source.key,
        "source_id": source.id,
        "source_hash": loaded.hash,
        "copy": outcome.copy,
        "attempt": outcome.attempt,
        "label": label or None,
        "source_label": source.label or None,
        "split": source.split or None,
        "size": list(outcome.moved.picture.size),
        "bytes": len(content),
        "hash": hashlib.sha256(content).hexdigest(),
        "model": model.name,
        "scores": outcome.verdict.scores,
        **({} if annotation is None else {"annotation": to_json(annotation)}),
        **_flaws(loaded),
        "motion": outcome.moved.params.to_dict(),
    }


def _provenance(loaded: Loaded, moved: Moved, model: Animator) -> Provenance:
    return Provenance(
        model.name,
        model_hash=model.hash,
        pool_hash=moved.params.pool_hash,
        source_hash=loaded.hash,
        source_id=loaded.job.source.id,
        source_type="composite" if loaded.squares else "generated",
    )


def rejected_row(loaded: Loaded, outcome: Outcome) -> Row:
    """Make the row of a copy that the gates rejected."""
    return {
        "source": loaded.job.source.key,
        "copy": outcome.copy,
        "attempts": outcome.attempt + 1,
        "reasons": list(outcome.verdict.reasons),
        "scores": outcome.verdict.scores,
        **_flaws(loaded),
    }


def _flaws(loaded: Loaded) -> dict[str, Any]:
    """Return the row's entry for annotations that did not fit the source; a resumed job reports them from the row."""
    return {"flaws": [[flaw.where, flaw.described] for flaw in loaded.flaws]} if loaded.flaws else {}
