"""The value that a draw returns: everything random about one copy, as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from fomaug._errors import ArgumentError, did_you_mean

Reference = Literal["closest"] | int


@dataclass(frozen=True)
class MotionParams:
    """One draw: which motion a copy of one image gets. The replay input, the manifest row and the resume key.

    Attributes:
        key: what names the image: a path, an id, a dataset index.
        copy: number of the copy of this image, from 0.
        epoch: the pass over the data that this draw belongs to.
        seed: the seed of the draw.
        skipped: the image stays as it is; then no motion is named and the strength is 0.
        clip: name of the motion track.
        clip_hash: hash of the clip's content.
        driver: who is seen in the clip, where known.
        label: the clip's label, for example its expression; None where it has none.
        frame: the driving frame in the track.
        reference: the frame in which the driving face is posed like the source; "closest" until `apply` has seen
            the source.
        relative: the driving motion is added to the source's keypoints; otherwise it replaces them.
        relative_jacobian: with `relative`, the change of the jacobians is added, too.
        adapt_scale: with `relative`, the motion is scaled by the ratio of the two faces' sizes.
        strength: share of the motion, 1 is all of it.
        region: the group of keypoints that moves.
        pool_hash: the driving pool the draw was made from.
        model_hash: the model the draw was made for.

    >>> MotionParams.from_dict(MotionParams(key="face.jpg", frame=3).to_dict()).frame
    3
    """

    key: str | int
    copy: int = 0
    epoch: int = 0
    seed: int = 0
    skipped: bool = False
    clip: str = ""
    clip_hash: str = ""
    driver: str = ""
    label: str | None = None
    frame: int = 0
    reference: Reference = "closest"
    relative: bool = True
    relative_jacobian: bool = True
    adapt_scale: bool = True
    strength: float = 1.0
    region: str = "all"
    pool_hash: str = ""
    model_hash: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dict that `json.dumps` takes."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MotionParams:
        """Read what `to_dict` wrote; an unknown, missing or ill-typed field is an error."""
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                raise ArgumentError(f"unknown motion parameter {name!r}{did_you_mean(name, known)}")
        if "key" not in values:
            raise ArgumentError("motion parameters need a 'key' that names the image")
        for name, value in values.items():
            _check_kind(name, value)
        return cls(**values)

    def with_reference(self, frame: int) -> MotionParams:
        """Return the same draw with its reference frame settled."""
        return replace(self, reference=frame)


_KINDS: dict[str, tuple[type, ...]] = {
    "key": (str, int),
    "clip": (str,),
    "clip_hash": (str,),
    "driver": (str,),
    "label": (str, type(None)),
    "reference": (str, int),
    "region": (str,),
    "pool_hash": (str,),
    "model_hash": (str,),
    "skipped": (bool,),
    "relative": (bool,),
    "relative_jacobian": (bool,),
    "adapt_scale": (bool,),
    "strength": (float, int),
}


def _check_kind(name: str, value: object) -> None:
    kinds = _KINDS.get(name, (int,))
    # bool is an int to Python, not to a reader of the file.
    fits = isinstance(value, kinds) and (isinstance(value, bool) is (kinds == (bool,)))
    if name == "reference" and isinstance(value, str):
        fits = value == "closest"
    if not fits:
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise ArgumentError(f"motion parameter {name!r} must be {expected}, got {value!r}")
