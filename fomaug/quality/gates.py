"""Gates: thresholds for the scores of animated images."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from fomaug.errors import ArgumentError, did_you_mean
from fomaug.quality.scores import Scores


@dataclass(frozen=True)
class Gates:
    """Thresholds for `Scores`; None disables a gate. docs/evidence/gates.md explains the defaults and their effect.

    Attributes:
        max_folded: largest `Scores.folded`.
        max_stretch: largest `Scores.stretch`.
        max_occluded: largest share of the face that is painted.
        max_keypoint_error: largest keypoint error, as a share of the face's size.
        max_residual: largest residual, in [0, 1].
        min_sharpness: least ratio of the sharpness to the source's.
        max_sharpness: largest ratio of the sharpness to the source's.
        min_motion: least motion, as a share of the face's size.
        min_identity: least cosine similarity; it needs an embedder.

    >>> Gates.from_dict({"max_folded": 0.1}).max_folded
    0.1
    """

    max_folded: float | None = 0.05
    max_stretch: float | None = 0.6
    max_occluded: float | None = 0.6
    max_keypoint_error: float | None = 0.07
    max_residual: float | None = 0.05
    min_sharpness: float | None = 0.4
    max_sharpness: float | None = 2.5
    min_motion: float | None = None
    min_identity: float | None = None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Gates:
        """Read thresholds by name; others keep their defaults.

        Raises:
            ArgumentError: a gate is unknown, or a threshold is no number.
        """
        known = {field.name for field in fields(cls)}
        for name, value in values.items():
            if name not in known:
                raise ArgumentError(
                    f"gates must be among {', '.join(sorted(known))}, got {name!r}{did_you_mean(name, known)}"
                )
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise ArgumentError(f"gate {name} must be a number or None, got {value!r}")
        return cls(**values)

    def to_dict(self) -> dict[str, float | None]:
        """Convert to plain JSON values."""
        return asdict(self)


def judge(scores: Scores, gates: Gates) -> list[str]:
    """Return a reason for each gate that an image does not pass.

    Raises:
        ArgumentError: there is an identity gate, but no identity was measured.

    >>> good = Scores(0.0, 0.1, 0.1, keypoint_error=0.01, residual=0.02, sharpness=1.0, motion=0.1)
    >>> judge(good, Gates()), judge(good, Gates(min_motion=0.2))
    ([], ['motion 0.100 < 0.2'])
    """
    reasons = []
    for name, threshold in gates.to_dict().items():
        if threshold is None:
            continue
        bound, measure = name.split("_", 1)
        value = getattr(scores, measure)
        if value is None:
            raise ArgumentError(f"gate {name} needs a face embedder; pass embed=...")
        # The comparisons are negated so that NaN does not pass.
        if bound == "max" and not value <= threshold:
            reasons.append(f"{measure} {value:.3f} > {threshold}")
        if bound == "min" and not value >= threshold:
            reasons.append(f"{measure} {value:.3f} < {threshold}")
    return reasons
