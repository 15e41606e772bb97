"""Motion parameters: the result of a draw, with everything random about one copy, as plain JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, Protocol, get_args

from torch import Tensor

from fomaug.errors import ArgumentError, check_mapping, shortened
from fomaug.motion.view import View
from fomaug.types import Keypoints

OpenReference = Literal["closest", "moving"]
Reference = OpenReference | int
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class MotionParams:
    """One draw: the motion of one copy of one image. It serves as replay input, manifest row and resume key.

    Attributes:
        key: name of the image: a path, an id or a dataset index.
        copy: number of the copy of this image, from 0.
        epoch: number of the pass over the data.
        seed: seed of the draw.
        skipped: whether the image stays as it is; then no motion is named and the strength is 0.
        clip: name of the motion track.
        clip_hash: hash of the clip's content.
        driver: person in the clip, where known.
        label: the clip's label, for example its expression; None where it has none.
        frame: index of the driving frame in the track.
        reference: index of the frame in which the driving face is posed like the source. Until the draw is fitted to
            a source it is "closest" for the frame of the nearest pose, or "moving" for the nearest one from which the
            driving frame moves.
        relative: whether the driving motion is added to the source's keypoints; otherwise it replaces them.
        relative_jacobian: whether, with `relative`, the change of the jacobians is added, too.
        adapt_scale: whether, with `relative`, the motion is scaled by the ratio of the two faces' sizes.
        strength: share of the motion; 1 is all of it. Fitting a draw whose reference is not yet a number reduces it
            where all of the motion would show a side of the face that the source hides.
        region: part of the face that moves.
        pool_hash: hash of the driving pool.
        model_hash: hash of the model.
        face: index of the face in the image, from 0; each face has a draw of its own.
        box: (left, top, right, bottom) in pixels of the square around the face that is animated and blended back; None
            for the whole image.
        others: draws of the further faces of the image; all have a box, and later ones are pasted over earlier ones.
        view: head pose that was drawn; None for the motion of a clip. With a view, `strength` is that of its
            expression, and `reference` has no effect.
        mirrored: whether the image is mirrored, left to right, after its faces moved; labels are mirrored with it, and
            left and right of landmarks swapped. Further faces of an image have no mirror of their own.

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
    face: int = 0
    box: Box | None = None
    others: tuple[MotionParams, ...] = ()
    view: View | None = None
    mirrored: bool = False

    @property
    def faces(self) -> tuple[MotionParams, ...]:
        """Return the draws of all faces of the image, this one first."""
        return self, *self.others

    @staticmethod
    def of_faces(faces: Iterable[MotionParams]) -> MotionParams:
        """Return the parameters of an image from those of its faces; the inverse of `faces`."""
        first, *others = faces
        return replace(first, others=tuple(others))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dict that `json.dumps` takes; `mirrored` is in it only if it is true."""
        plain = {
            "box": None if self.box is None else list(self.box),
            "others": [other.to_dict() for other in self.others],
            "view": None if self.view is None else self.view.to_dict(),
        }
        names = [field.name for field in fields(self) if field.name != "mirrored" or self.mirrored]
        return {**{name: getattr(self, name) for name in names}, **plain}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MotionParams:
        """Read the result of `to_dict`; an unknown, missing or ill-typed field is an error."""
        known = {field.name for field in fields(cls)}
        check_mapping(
            values, known, "motion parameters must be a mapping of their fields", "unknown motion parameter {}"
        )
        if "key" not in values:
            raise ArgumentError("motion parameters need a 'key' that names the image")
        for name, value in values.items():
            _check_kind(name, value)
        box, others = values.get("box"), values.get("others", ())
        if any(isinstance(other, Mapping) and other.get("others") for other in others):
            raise ArgumentError("motion parameter 'others' holds the further faces of a picture, which have no others")
        view = None if values.get("view") is None else View.from_dict(values["view"])
        nested = {"box": _read_box(box), "others": tuple(cls.from_dict(other) for other in others), "view": view}
        return cls(**{**values, **nested})

    @property
    def settled(self) -> bool:
        """Whether the draw is fitted: its reference frame is a number, or its view is settled."""
        return self.view.settled if self.view else not isinstance(self.reference, str)

    def settle(self, reference: Reference, strength: float) -> MotionParams:
        """Return the same draw with the reference frame and the strength that were used."""
        return replace(self, reference=reference, strength=strength)

    def at_rest(self) -> MotionParams:
        """Return the parameters that leave the same copy of the same image as it is."""
        return MotionParams(
            key=self.key,
            copy=self.copy,
            epoch=self.epoch,
            seed=self.seed,
            skipped=True,
            strength=0.0,
            pool_hash=self.pool_hash,
            model_hash=self.model_hash,
        )


_LARGEST = 2**62  # seeds and keys are hashed, and may be larger


@dataclass(frozen=True, eq=False)
class MotionResult:
    """Animated images, and the flow that moves their labels.

    Attributes:
        image: (N, C, H, W) with the dtype, device, memory layout and range of the images given.
        flow: (N, h, w, 2) float32 backward flow, for `fomaug.warp`; the identity where skipped.
        occlusion: (N, 1, h, w) float32 in [0, 1], 1 where taken from the source; ones where skipped.
        params: the N parameters with settled reference frames; replaying them gives the same pixels. On a GPU, reading
            them waits until they are computed.
        keypoints: keypoints of the N sources, NaN where skipped; None if nothing moved, or if faces moved in boxes.
    """

    image: Tensor
    flow: Tensor
    occlusion: Tensor
    params: list[MotionParams]
    keypoints: Keypoints | None = None

    @property
    def moving(self) -> list[int]:
        """Rows of the images that are not skipped; reading them does not wait for a device."""
        return [row for row, param in enumerate(self.params) if not param.skipped]


class Check(Protocol):
    """A check that is made later."""

    def finish(self) -> None:
        """Wait until the check is possible, and raise if it fails."""


class PendingResult(MotionResult):
    """A result whose settled parameters are read on first access.

    Args:
        image: see `MotionResult`.
        flow: see `MotionResult`.
        occlusion: see `MotionResult`.
        drawn: the N parameters before they were fitted.
        read: function that returns the settled parameters, waiting for them if need be.
        check: check of the values of the images, which is not known yet, see `fomaug.augment.pixels`; None for none.
        keypoints: see `MotionResult`.
    """

    check: Check | None

    def __init__(
        self,
        image: Tensor,
        flow: Tensor,
        occlusion: Tensor,
        drawn: Sequence[MotionParams],
        read: Callable[[], list[MotionParams]],
        check: Check | None = None,
        keypoints: Keypoints | None = None,
    ) -> None:
        # The class is frozen, and its attribute `params` is computed.
        self.__dict__.update(image=image, flow=flow, occlusion=occlusion, keypoints=keypoints)
        self.__dict__.update(check=check, _drawn=drawn, _read=read)

    @cached_property
    def params(self) -> list[MotionParams]:
        """The settled parameters."""
        if self.check is not None:
            self.check.finish()
        read: Callable[[], list[MotionParams]] = self.__dict__["_read"]
        return read()

    @property
    def moving(self) -> list[int]:
        """Rows of the images that are not skipped."""
        drawn: Sequence[MotionParams] = self.__dict__["_drawn"]
        return [row for row, param in enumerate(drawn) if not param.skipped]

    def __reduce__(self) -> tuple[type[MotionResult], tuple[object, ...]]:
        return MotionResult, (self.image, self.flow, self.occlusion, self.params, self.keypoints)


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
    "mirrored": (bool,),
    "relative": (bool,),
    "relative_jacobian": (bool,),
    "adapt_scale": (bool,),
    "strength": (float, int),
    "box": (list, tuple, type(None)),
    "others": (list, tuple),
    "view": (Mapping, type(None)),
}


def _read_box(box: Sequence[int] | None) -> Box | None:
    if box is None:
        return None
    if len(box) != 4 or not all(type(edge) is int and abs(edge) <= _LARGEST for edge in box):
        raise ArgumentError(f"motion parameter 'box' must be 4 whole numbers, got {shortened(list(box))}")
    left, top, right, bottom = box
    return left, top, right, bottom


def _check_kind(name: str, value: object) -> None:
    if isinstance(value, int | float) and name not in ("key", "seed") and not -_LARGEST <= value <= _LARGEST:
        raise ArgumentError(f"motion parameter {name!r} must be a finite number of usual size, got {shortened(value)}")
    kinds = _KINDS.get(name, (int,))
    # To Python a bool is an int; in a file it is a mistake.
    fits = isinstance(value, kinds) and (isinstance(value, bool) is (kinds == (bool,)))
    if name == "reference" and isinstance(value, str):
        fits = value in get_args(OpenReference)
    if not fits:
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise ArgumentError(f"motion parameter {name!r} must be {expected}, got {shortened(value)}")
