"""`MotionAugment` as an albumentations transform.

>>> import numpy as np
>>> import albumentations as A
>>> from fomaug.integrations.albumentations import MotionAugment
>>> transform = A.Compose([MotionAugment(p=0.5), A.HorizontalFlip()], seed=7)  # doctest: +SKIP
>>> transform(image=image, mask=mask, keypoints=points)  # doctest: +SKIP
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fomaug import warp
from fomaug.animator import Animator
from fomaug.augment import MotionAugment as _Engine
from fomaug.augment import counted_keys
from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError
from fomaug.integrations.arrays import like, to_tensor
from fomaug.integrations.engine import name_of, shared_engine
from fomaug.integrations.pixels import Size, move_boxes_px, move_points_px
from fomaug.integrations.require import require
from fomaug.motion import MotionParams

require("albumentations")

from albumentations.core.transforms_interface import BaseTransformInitSchema, DualTransform  # noqa: E402
from albumentations.core.type_definitions import Targets  # noqa: E402

Array = NDArray[Any]
Interval = tuple[float, float]

_SETTINGS = (
    "strength_range",
    "selection",
    "relative",
    "relative_jacobian",
    "adapt_scale",
    "reference",
    "region",
    "yaw_range",
    "pitch_range",
)


class MotionAugment(DualTransform):  # type: ignore[misc]
    """Move the face in a picture as the faces of driving clips move, and its labels with it.

    Pictures are (H, W, 3), (H, W, 1) or (H, W), uint8 or float in [0, 1]. `image` is animated once; `mask`, `masks`,
    `bboxes` and `keypoints` follow it. Further targets of the type "image" are pictures of their own and get the same
    motion parameters; what lies pixel by pixel over `image` (depth, heat maps) is a target of the type "mask". Each
    picture of `images` gets the same parameters; without `image`, labels follow the first of them.

    All randomness comes from albumentations' generators (`Compose(seed=)`). Worker processes and ranks add their own
    seed to it, which a DataLoader draws anew for every pass: none repeats another's draws or its own of the last epoch.

    Args:
        driving: a `DrivingPool`, "builtin", or the path of a pool file.
        model: an `Animator`, a model's name, or the path of a model file.
        strength_range: the share of the motion is drawn from this interval; 1 is all of it.
        selection: "diverse" prefers large motions; "uniform" takes all alike.
        relative: add the driving motion to the source's keypoints; otherwise the driving keypoints replace them.
        relative_jacobian: with `relative`, add the change of the jacobians, too.
        adapt_scale: with `relative`, scale the motion by the ratio of the faces' sizes.
        reference: the driving frame that counts as no motion: the "closest" to the source's pose, "first", a number.
        region: "all", or the part of the face that moves: "head", "mouth", "eyes", "expression".
        yaw_range: draw only driving frames turned by so many degrees.
        pitch_range: the same for nodding.
        device: where a model given by name goes. Transforms run in worker processes, so it is the CPU unless you say
            otherwise.
        p: probability of moving at all.
    """

    _targets = (Targets.IMAGE, Targets.MASK, Targets.BBOXES, Targets.KEYPOINTS)

    class InitSchema(BaseTransformInitSchema):  # type: ignore[misc]
        """What albumentations checks of the arguments; fomaug checks the rest."""

        driving: Any
        model: Any
        strength_range: tuple[float, float]
        selection: str
        relative: bool
        relative_jacobian: bool
        adapt_scale: bool
        reference: str | int
        region: str
        yaw_range: tuple[float, float] | None
        pitch_range: tuple[float, float] | None
        device: str

        def model_dump(self, **_: Any) -> dict[str, Any]:
            """Return the values as they are: pools and models are not to be taken apart."""
            return {name: getattr(self, name) for name in type(self).model_fields}

    def __init__(
        self,
        driving: DrivingPool | str | Path = "builtin",
        model: Animator | str | Path = "lite-256",
        strength_range: Interval = (0.3, 1.0),
        selection: Literal["diverse", "uniform", "sequence"] = "diverse",
        relative: bool = True,  # noqa: FBT001, FBT002
        relative_jacobian: bool = True,  # noqa: FBT001, FBT002
        adapt_scale: bool = True,  # noqa: FBT001, FBT002
        reference: Literal["closest", "first"] | int = "closest",
        region: str = "all",
        yaw_range: Interval | None = None,
        pitch_range: Interval | None = None,
        device: str = "cpu",
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        self.driving = driving
        self.model = model
        self.strength_range = strength_range
        self.selection = selection
        self.relative = relative
        self.relative_jacobian = relative_jacobian
        self.adapt_scale = adapt_scale
        self.reference = reference
        self.region = region
        self.yaw_range = yaw_range
        self.pitch_range = pitch_range
        self.device = device
        self._engine: _Engine | None = None
        _ = self.engine  # a wrong argument speaks up here, not in a worker

    @property
    def engine(self) -> _Engine:
        """The `fomaug.MotionAugment` that does the work; built anew after unpickling, when it is first used."""
        if self._engine is None:
            settings = {name: getattr(self, name) for name in _SETTINGS}
            self._engine = shared_engine(self.driving, self.model, {"p": 1.0, **settings}, self.device)
        return self._engine

    @property
    def targets(self) -> dict[str, Callable[..., Any]]:
        """What moves: pictures, masks, boxes, points."""
        return {
            "image": self.apply,
            "images": self.apply_to_images,
            "mask": self.apply_to_mask,
            "masks": self.apply_to_masks,
            "bboxes": self.apply_to_bboxes,
            "keypoints": self.apply_to_keypoints,
        }

    def should_apply(self, force_apply: bool = False) -> bool:  # noqa: FBT001, FBT002
        """Decide whether to move, apart from other workers and ranks."""
        p = float(self.p)
        if p <= 0 or p >= 1 or force_apply:
            return p > 0
        digest = hashlib.sha256(str(self._next_key()).encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64 < p

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the motion, as the plain JSON of `fomaug.MotionParams`."""
        (motion,) = self.engine.draw([self._next_key()])
        return {"motion": motion.to_dict()}

    def apply_with_params(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Animate the picture once, then move everything else by its flow.

        The flow goes along with the parameters of this one call only: what is logged and replayed stays small.
        """
        main = "image" if kwargs.get("image") is not None else "images"
        if kwargs.get(main) is None:
            raise ArgumentError(f"labels move with their picture; pass image=... together with {sorted(kwargs)}")
        pictures = np.asarray(kwargs[main])
        pictures = pictures[None] if main == "image" else pictures
        moved, flow = self._animate(pictures, params["motion"])
        here = {**params, "flow": flow, "size": pictures.shape[1:3]}
        rest = {key: value for key, value in kwargs.items() if key != main}
        found = super().apply_with_params(here, *args, **rest)
        found[main] = moved[0] if main == "image" else moved
        return {key: found[key] for key in kwargs}

    def apply(self, img: Array, motion: Mapping[str, Any], **_: Any) -> Array:
        """Animate one (H, W, C) or (H, W) picture; returns the like."""
        moved: Array = self._animate(img[None], motion)[0][0]
        return moved

    def apply_to_images(self, images: Array, motion: Mapping[str, Any], **_: Any) -> Array:
        """Animate (N, H, W, C) or (N, H, W) pictures by the same parameters; returns the like."""
        return self._animate(images, motion)[0]

    def apply_to_mask(self, mask: Array, flow: Tensor, **_: Any) -> Array:
        """Move a (H, W) or (H, W, C) mask."""
        moved: Array = self.apply_to_masks(mask[None], flow)[0]
        return moved

    def apply_to_masks(self, masks: Array, flow: Tensor, **_: Any) -> Array:
        """Move (N, H, W) or (N, H, W, C) masks of one picture."""
        values = to_tensor(masks)
        return like(warp.mask(values, flow.expand(len(values), -1, -1, -1)), masks)

    def apply_to_bboxes(self, bboxes: Array, flow: Tensor, size: Size, **_: Any) -> Array:
        """Move (N, 4+) boxes, edges in [0, 1]; what follows the corners stays.

        A box whose content is gone is left without an area: albumentations drops it.
        """
        if not len(bboxes):  # a table without columns
            return bboxes
        span = torch.tensor([size[1], size[0]] * 2)
        edges = torch.from_numpy(bboxes[:, :4].astype(np.float32)) * span
        moved, visible = move_boxes_px(warp.edges_to_centres(edges)[None], flow, size)
        found = (warp.centres_to_edges(moved[0]) / span).clamp(0, 1)
        found[~visible[0], 2:] = found[~visible[0], :2]
        return _with_columns(bboxes, found)

    def apply_to_keypoints(self, keypoints: Array, flow: Tensor, size: Size, **_: Any) -> Array:
        """Move (N, 2+) points in pixels; angle and scale stay.

        Points that the picture no longer shows go outside of it if albumentations is to drop them
        (`remove_invisible`); otherwise they take the nearest place.
        """
        if not len(keypoints):
            return keypoints
        xy = torch.from_numpy(keypoints[:, :2].astype(np.float32))
        moved, visible = move_points_px(xy[None], flow, size)
        if self._drops_points():
            moved[~visible] = -1.0
        return _with_columns(keypoints, moved[0])

    def get_transform_init_args(self) -> dict[str, Any]:
        """All arguments as plain JSON; a pool or a model that was given as an object by its hash."""
        values = super().get_transform_init_args()
        return {**values, "driving": name_of(self.driving), "model": name_of(self.model)}

    def _animate(self, pictures: Array, motion: Mapping[str, Any]) -> tuple[Array, Tensor]:
        """Animate (N, H, W[, C]) pictures; returns the like, and the flow (1, h, w, 2) of the first."""
        result = self.engine.apply(to_tensor(pictures), [MotionParams.from_dict(motion)] * len(pictures))
        return like(result.image, pictures), result.flow[:1]

    def _drops_points(self) -> bool:
        processor = self.get_processor("keypoints")
        return processor is not None and bool(processor.params.remove_invisible)

    def _next_key(self) -> str | int:
        """A number from albumentations' generator, apart in every worker, pass and rank."""
        return counted_keys(int(self.random_generator.integers(2**62)), 1)[0]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the engine behind: worker processes load what has a name, and share it among transforms."""
        return {**self.__dict__, "_engine": None}


def _with_columns(table: Array, first: Tensor) -> Array:
    moved = table.copy()
    moved[:, : first.shape[1]] = first.numpy()
    return moved
