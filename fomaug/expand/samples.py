"""Samples: copies, encoded and named, with their manifest rows and their thumbnails for the contact sheet."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomaug.animator import Animator
from fomaug.driving import mirrored_expression
from fomaug.errors import ArgumentError
from fomaug.expand.copies import AnimatedCopy, Outcome
from fomaug.expand.labels import copy_label, to_json, view_labels
from fomaug.expand.manifest import THUMBNAILS, Row
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.sources import Loaded, SourceFile
from fomaug.expand.storage import push
from fomaug.files import write_file
from fomaug.labels import FaceLabels
from fomaug.media import Provenance, decode_picture, encode_image, sidecar_of, thumbnail
from fomaug.motion import MotionParams

SUFFIXES: Final = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tif", "bmp": ".bmp"}
_ARCHIVED: Final = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"}
_MAX_NAME_BYTES: Final = 255  # limit of all common file systems

MOST_SHOWN: Final = 12  # sources on the contact sheet, and copies of each
CELL: Final = 128  # side of a picture on the sheet
_LEAST_SIDE: Final = 3 * CELL  # of a reduced JPEG: the thumbnail then looks as if it were made from all pixels


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
        **({} if annotation is None else {"annotation": to_json(annotation)}),
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


def copy_name(source: SourceFile, stem: str, copy: int, label: str, encode_format: str) -> str:
    """Return the path of a copy below the output folder: split, class and folders of the source, `stem_m000.suffix`.

    A stem that is too long for a file name is cut and ends in a short hash.
    """
    parts = [part for part in (source.split_folder, label) if part]
    ending = f"_m{copy:03d}{SUFFIXES[encode_format]}"
    longest = sidecar_of(Path(ending)).name if encode_format == "bmp" else ending
    fitting = _cut(stem, _MAX_NAME_BYTES - len(longest))
    return str(PurePosixPath(*parts, source.folder, f"{fitting}{ending}"))


def original_name(source: SourceFile, stem: str, label: str, *, archived: bool) -> str:
    """Return the path of an original below the output folder, see `copy_name`; its suffix is its own.

    Args:
        source: source file.
        stem: stem of the file names of the copies, without their ending.
        label: label of the original; empty for none.
        archived: True for a member of an archive, where all suffixes of a format become one.
    """
    parts = [part for part in (source.split_folder, label) if part]
    suffix = PurePosixPath(source.key).suffix
    suffix = archived_suffix(suffix) if archived else suffix
    return str(PurePosixPath(*parts, source.folder, f"{_cut(stem, _MAX_NAME_BYTES - len(suffix))}{suffix}"))


def archived_suffix(suffix: str) -> str:
    """Return the one suffix that all members of an image format have.

    >>> archived_suffix(".JPEG"), archived_suffix(".webp")
    ('.jpg', '.webp')
    """
    return _ARCHIVED.get(suffix.lower(), suffix.lower())


def _cut(stem: str, size: int) -> str:
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
