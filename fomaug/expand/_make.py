"""From a source file to its encoded copies: what happens to one unit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fomaug._errors import MediaError
from fomaug.animator import Animator
from fomaug.expand._jobs import Job
from fomaug.expand._move import Moved
from fomaug.expand._names import copy_name
from fomaug.expand._plan import ExpandPlan
from fomaug.expand._policy import copy_label
from fomaug.expand._sinks import Sample
from fomaug.writers import Picture, Provenance, decode_picture, encode_image


@dataclass(frozen=True, eq=False)
class Loaded:
    """A source, read; or why it cannot be.

    Attributes:
        job: what it is.
        picture: its pixels, None if it cannot be read.
        hash: sha256 of the file.
        reason: why it cannot be read.
    """

    job: Job
    picture: Picture | None
    hash: str = ""
    reason: str = ""


def load(job: Job, max_pixels: int) -> Loaded:
    """Read the source of a job; a picture that cannot be read is a result, too."""
    try:
        content = job.source.path.read_bytes()
    except OSError as cause:
        return Loaded(job, None, reason=f"cannot be read: {cause.strerror or cause}")
    try:
        picture = decode_picture(content, Path(job.source.key).suffix, max_pixels=max_pixels)
    except MediaError as cause:
        return Loaded(job, None, reason=str(cause))
    return Loaded(job, picture, hashlib.sha256(content).hexdigest())


def make_sample(
    loaded: Loaded, moved: Moved, copy: int, model: Animator, plan: ExpandPlan, notes: dict[str, Any]
) -> Sample:
    """Encode one copy and write its row.

    Args:
        loaded: the source.
        moved: the animated copy.
        copy: its number.
        model: which made it.
        plan: how to encode and to name.
        notes: further entries of the row.
    """
    source = loaded.job.source
    encode_format = moved.picture.encode_format if plan.image_format == "same" else plan.image_format
    label = copy_label(plan.labels, source.label, moved.params.label)
    provenance = Provenance(
        model.name,
        model_hash=model.hash,
        pool_hash=moved.params.pool_hash,
        source_hash=loaded.hash,
        source_id=source.id,
    )
    content = encode_image(
        moved.picture.whole,
        encode_format,
        provenance=provenance,
        quality=plan.quality,
        icc_profile=moved.picture.icc_profile,
    )
    row = {
        "source": source.key,
        "source_id": source.id,
        "source_hash": loaded.hash,
        "copy": copy,
        "label": label or None,
        "source_label": source.label or None,
        "split": source.split or None,
        "size": list(moved.picture.size),
        "bytes": len(content),
        "hash": hashlib.sha256(content).hexdigest(),
        "model": model.name,
        **notes,
        "motion": moved.params.to_dict(),
    }
    name = copy_name(source, loaded.job.stem, copy, label, encode_format)
    return Sample(name, content, provenance.to_xmp() if encode_format == "bmp" else None, row)
