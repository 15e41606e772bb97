"""An animated copy, encoded, and the row that tells of it."""

from __future__ import annotations

import hashlib
from typing import Any

from fomaug.animator import Animator
from fomaug.expand.annotate import to_json
from fomaug.expand.copies import Outcome
from fomaug.expand.formats import Sample
from fomaug.expand.labels import copy_label
from fomaug.expand.load import Loaded
from fomaug.expand.manifest import Row
from fomaug.expand.move import Moved
from fomaug.expand.names import copy_name
from fomaug.expand.plan import ExpandPlan
from fomaug.labels import FaceLabels
from fomaug.media import Provenance, encode_image


def make_sample(
    loaded: Loaded, outcome: Outcome, model: Animator, plan: ExpandPlan, annotation: FaceLabels | None = None
) -> Sample:
    """Encode one copy and write its row. A picture that stays as it is was made by no model, so it gets no mark.

    Args:
        loaded: the source.
        outcome: the animated copy.
        model: which made it.
        plan: how to encode and to name.
        annotation: of the copy.
    """
    source, moved = loaded.job.source, outcome.moved
    encode_format = moved.picture.encode_format if plan.image_format == "same" else plan.image_format
    label = copy_label(plan.labels, source.label, moved.params.label, still=loaded.still)
    provenance = None if loaded.still else _provenance(loaded, moved, model)
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
        "copy": outcome.copy,
        "attempt": outcome.attempt,
        "label": label or None,
        "source_label": source.label or None,
        "split": source.split or None,
        "size": list(moved.picture.size),
        "bytes": len(content),
        "hash": hashlib.sha256(content).hexdigest(),
        "model": model.name,
        "scores": outcome.verdict.scores,
        **({} if annotation is None else {"annotation": to_json(annotation)}),
        **_flaws(loaded),
        "motion": moved.params.to_dict(),
    }
    name = copy_name(source, loaded.job.stem, outcome.copy, label, encode_format)
    return Sample(name, content, provenance.to_xmp() if provenance and encode_format == "bmp" else None, row)


def _provenance(loaded: Loaded, moved: Moved, model: Animator) -> Provenance:
    return Provenance(
        model.name,
        model_hash=model.hash,
        pool_hash=moved.params.pool_hash,
        source_hash=loaded.hash,
        source_id=loaded.job.source.id,
        source_type="composite" if loaded.regions else "generated",
    )


def reject(loaded: Loaded, outcome: Outcome) -> Row:
    """Write the row of a copy that was given up."""
    return {
        "source": loaded.job.source.key,
        "copy": outcome.copy,
        "attempts": outcome.attempt + 1,
        "reasons": list(outcome.verdict.reasons),
        "scores": outcome.verdict.scores,
        **_flaws(loaded),
    }


def _flaws(loaded: Loaded) -> dict[str, Any]:
    """Annotations that did not fit the picture: in the row, so that a resumed job, too, can name them."""
    return {"flaws": [[flaw.where, flaw.described] for flaw in loaded.flaws]} if loaded.flaws else {}
