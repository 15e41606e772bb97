"""Samples: copies with their labels, encoded and named, with manifest rows, and thumbnails for the contact sheet."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomaug.animator import Animator
from fomaug.driving import EXPRESSIONS, mirrored_expression, mirrored_fields
from fomaug.errors import ArgumentError, LabelError
from fomaug.expand.copies import AnimatedCopy, Outcome
from fomaug.expand.manifest import Row
from fomaug.expand.output import THUMBNAILS, push
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.sources import Loaded, SourceFile
from fomaug.files import write_file
from fomaug.labels import FaceLabels, move, to_plain
from fomaug.media import Provenance, decode_picture, encode_image, sidecar_of, thumbnail
from fomaug.motion import Angles, MotionParams, mirrored_angles

SUFFIXES: Final = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tif", "bmp": ".bmp"}
MAX_NAME_BYTES: Final = 255  # limit of all common file systems

MOST_SHOWN: Final = 12  # sources on the contact sheet, and copies of each
CELL: Final = 128  # side of a picture on the sheet
_LEAST_SIDE: Final = 3 * CELL  # of a reduced JPEG: the thumbnail then looks as if it were made from all pixels

_AXES: Final = ("yaw", "pitch", "roll")


@dataclass(frozen=True)
class Sample:
    """One encoded copy.

    Attributes:
        name: path within the expanded dataset, with slashes.
        content: bytes of the image file.
        mark: provenance mark as a separate file, for image formats that cannot hold it; else None.
        row: manifest row without the file, which the writer adds.
    """

    name: str
    content: bytes
    mark: bytes | None
    row: Row


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
    label = copy_label(plan.labels, source.label, _clip_label(outcome.moved.params), still=loaded.still)
    provenance = None if loaded.still else _provenance(loaded, outcome.moved, model)
    content = encode_image(
        picture.whole, encode_format, provenance=provenance, quality=plan.quality, icc_profile=picture.icc_profile
    )
    row = _row(loaded, outcome, model, content, label, annotation)
    name = copy_name(source, loaded.job.stem, outcome.copy, label, encode_format)
    return Sample(name, content, provenance.to_xmp() if provenance and encode_format == "bmp" else None, row)


def copy_label(
    policy: str | Mapping[str, str], source_label: str, clip_label: str | None, *, still: bool = False
) -> str:
    """Return the label of one copy; empty for no label.

    Args:
        policy: a label policy, or a mapping from old to new labels.
        source_label: label of the source.
        clip_label: label of the driving clip.
        still: True for an unchanged copy, which keeps the label of its source.
    """
    if policy == "drop":
        return ""
    if policy == "keep" or still:
        return source_label
    if policy == "from_clip":
        if not clip_label:
            raise LabelError("the clip has no label")
        return check_label(clip_label)
    assert not isinstance(policy, str)
    return check_label(policy.get(source_label, policy.get("*", source_label)))


def check_label(label: str) -> str:
    """Return a label that can name a folder.

    Raises:
        ArgumentError: the label cannot name a folder.
    """
    if label in (".", "..") or any(sign in label for sign in "/\\\0:"):
        raise ArgumentError(f"label {label!r} cannot name a folder; map it to another with labels")
    return label


def _clip_label(params: MotionParams) -> str | None:
    """Return the label of a copy's clip; a gaze to the left is one to the right in a mirrored copy."""
    return mirrored_expression(params.label) if params.mirrored and params.label else params.label


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
        **({} if annotation is None else {"annotation": to_plain(annotation)}),
        **_flaws(loaded),
        **view_labels(outcome.moved.params, outcome.poses),
        "motion": outcome.moved.params.to_dict(),
    }


def _provenance(loaded: Loaded, moved: AnimatedCopy, model: Animator) -> Provenance:
    return Provenance(
        model.name,
        model_hash=model.hash,
        pool_hash=moved.params.pool_hash,
        source_hash=loaded.hash,
        source_id=loaded.job.source.id,
        source_type="composite" if loaded.squares else "generated",
    )


def view_labels(params: MotionParams, poses: Sequence[Angles | None]) -> dict[str, Any]:
    """Return the row's entry "view", which describes the first face; "others" in it describes the further ones.

    Args:
        params: fitted parameters of a copy; if it is mirrored, the labels are those of the mirrored picture.
        poses: estimated head pose of each face before the copy was mirrored.
    """
    pairs = zip(params.faces, poses, strict=False)
    labels = [_view(face, pose, mirrored=params.mirrored) for face, pose in pairs]
    if not labels or labels[0] is None:
        return {}
    return {"view": {**labels[0], **({"others": labels[1:]} if labels[1:] else {})}}


def _view(params: MotionParams, pose: Angles | None, *, mirrored: bool) -> dict[str, Any] | None:
    view = params.view
    if view is None or view.taken is None:
        return None
    mix, name = EXPRESSIONS.get(view.expression, {}), view.expression
    asked, taken, reached = view.asked, view.taken, pose
    if mirrored:
        mix, name = mirrored_fields(mix), mirrored_expression(name)
        asked, taken = mirrored_angles(asked), mirrored_angles(taken)
        reached = None if pose is None else mirrored_angles(pose)
    return {
        "asked": list(asked),
        "taken": list(taken),
        "replaced": view.replaced,
        "reached": None if reached is None else list(reached),
        "expression": name,
        "values": {name: round(strength * params.strength, 5) for name, strength in mix.items()},
    }


def view_columns(view: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten the entry "view" of a manifest row, which describes the first face, to columns.

    >>> view_columns({"asked": [30, 0, 0], "reached": None, "expression": "smile", "values": {"smile": 0.8}})
    {'asked_yaw': 30, 'asked_pitch': 0, 'asked_roll': 0, 'view_expression': 'smile', 'view_smile': 0.8}
    """
    columns: dict[str, Any] = {}
    for kind in ("asked", "reached"):
        angles = view.get(kind) or ()
        columns |= {f"{kind}_{axis}": angle for axis, angle in zip(_AXES, angles, strict=False)}
    if view.get("expression"):
        columns["view_expression"] = view["expression"]
    return columns | {f"view_{name}": value for name, value in (view.get("values") or {}).items()}


def move_labels(labels: FaceLabels | None, moved: AnimatedCopy) -> FaceLabels | None:
    """Move the labels of a source to one of its copies; None for a source without labels."""
    if labels is None:
        return None
    return move(labels, moved.flow, moved.picture.size, occlusion=moved.occlusion)


def rejected_row(loaded: Loaded, outcome: Outcome) -> Row:
    """Make the row of a copy that the gates rejected."""
    return {
        "source": loaded.job.source.key,
        "source_hash": loaded.hash,
        "copy": outcome.copy,
        "attempts": outcome.attempt + 1,
        "reasons": list(outcome.verdict.reasons),
        "scores": outcome.verdict.scores,
        **_flaws(loaded),
    }


def _flaws(loaded: Loaded) -> dict[str, Any]:
    """Return the row's entry for annotations that did not fit the source; a resumed job reports them from the row."""
    return {"flaws": [[flaw.where, flaw.described] for flaw in loaded.flaws]} if loaded.flaws else {}


def copy_name(source: SourceFile, stem: str, copy: int, label: str, encode_format: str) -> str:
    """Return the path of a copy below the output folder: split, class and folders of the source, `stem_m000.suffix`.

    A stem that is too long for a file name is cut and ends in a short hash.
    """
    parts = [part for part in (source.split_folder, label) if part]
    ending = f"_m{copy:03d}{SUFFIXES[encode_format]}"
    longest = sidecar_of(Path(ending)).name if encode_format == "bmp" else ending
    fitting = cut_stem(stem, MAX_NAME_BYTES - len(longest))
    return str(PurePosixPath(*parts, source.folder, f"{fitting}{ending}"))


def cut_stem(stem: str, size: int) -> str:
    """Shorten a stem to a number of bytes, between two characters; different stems stay different."""
    if len(os.fsencode(stem)) <= size:
        return stem
    mark = f"-{hashlib.sha256(os.fsencode(stem)).hexdigest()[:12]}"
    kept = stem[:size]
    while len(os.fsencode(kept)) > size - len(mark):
        kept = kept[:-1]
    return kept + mark


def path_inside(out: Path, name: str) -> Path:
    """Return the path of a name below `out`.

    Raises:
        ArgumentError: the path is outside of `out`: an absolute name, `..`, or a link to another folder.
    """
    pure = PurePosixPath(name)
    path = out / pure
    leaves = pure.is_absolute() or ".." in pure.parts or Path(name).drive
    if leaves or not path.parent.resolve().is_relative_to(out.resolve()):
        raise ArgumentError(f"{name!r} would be written outside of {out}; nothing was")
    return path


def thumbnail_of(content: bytes, name: str) -> NDArray[np.uint8]:
    """Make the thumbnail of a picture from the bytes of its file; a JPEG is reduced while it is decoded.

    Raises:
        MediaError: the picture cannot be read.
    """
    picture = decode_picture(content, PurePosixPath(name).suffix, least_side=_LEAST_SIDE)
    return thumbnail(picture.eight_bits, CELL)


def keep_thumbnail(plan: ExpandPlan, sample: Sample) -> None:
    """Save the thumbnail of a copy that may be on the contact sheet, so that no archive is read again for it."""
    if sample.row["copy"] < MOST_SHOWN:
        name = thumbnail_name(sample.row)
        write_file(Path(plan.out, name), encode_image(thumbnail_of(sample.content, sample.name), "png"))
        if plan.out_url:
            push(plan, name)


def thumbnail_name(row: Row) -> str:
    """Return the path of a copy's thumbnail below the output folder."""
    # The row of a manifest may be damaged, but for what every reader of rows checks.
    source = SourceFile(Path(), row["source"])
    return f"{THUMBNAILS}/{source.id}-{row['copy']}.png"
