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
from fomaug.imports import require
from fomaug.integrations.engine import SETTINGS, movement_of, name_of, shared_engine
from fomaug.labels import Movement
from fomaug.media import like_array, to_tensor
from fomaug.motion import Interval, MotionParams, Region, Selection
from fomaug.options import AUTO

require("albumentations")

from albumentations.core.transforms_interface import BaseTransformInitSchema, DualTransform  # noqa: E402
from albumentations.core.type_definitions import Targets  # noqa: E402

Array = NDArray[Any]


class MotionAugment(DualTransform):  # type: ignore[misc]
    """Move the face in a picture by the motion of driving clips, and move its labels with it.

    Pictures are (H, W, 3), (H, W, 1) or (H, W), uint8 or float in [0, 1]. `image` is animated once; `mask`, `masks`,
    `bboxes` and `keypoints` follow it. Further targets of the type "image" are separate pictures with the same motion
    parameters; maps that match `image` pixel by pixel (depth, heat maps) are targets of the type "mask". Each picture
    of `images` has the same parameters; without `image`, labels follow the first of them.

    All randomness comes from albumentations' generators (`Compose(seed=)`). Worker processes and ranks add their own
    seed, which a DataLoader draws for every epoch, so that draws differ between workers, ranks and epochs.

    Arguments that are not listed are those of `fomaug.MotionAugment`. As draws have no order here,
    `selection="diverse"` prefers large motions.

    Args:
        device: device of a model given by name. Transforms run in worker processes, so the default is the CPU.
        p: probability of a motion.
    """

    _targets = (Targets.IMAGE, Targets.MASK, Targets.BBOXES, Targets.KEYPOINTS)

    class InitSchema(BaseTransformInitSchema):  # type: ignore[misc]
        """The types of the arguments, which albumentations checks; fomaug checks the values."""

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
        mirror_probability: float
        device: str

        def model_dump(self, **_: Any) -> dict[str, Any]:
            """Return the values unchanged, because pydantic would convert pools and models."""
            return {name: getattr(self, name) for name in type(self).model_fields}

    def __init__(
        self,
        driving: DrivingPool | str | Path = AUTO,
        model: Animator | str | Path = "lite-256",
        strength_range: Interval = (0.3, 1.0),
        selection: Selection = "diverse",
        relative: bool = True,  # noqa: FBT001, FBT002
        relative_jacobian: bool = True,  # noqa: FBT001, FBT002
        adapt_scale: bool = True,  # noqa: FBT001, FBT002
        reference: Literal["closest", "first"] | int = "closest",
        region: Region = "all",
        yaw_range: Interval | None = None,
        pitch_range: Interval | None = None,
        mirror_probability: float = 0.0,
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
        self.mirror_probability = mirror_probability
        self.device = device
        self._engine: _Engine | None = None
        _ = self.engine  # raises errors about arguments here rather than in a worker

    @property
    def engine(self) -> _Engine:
        """The `fomaug.MotionAugment` of this transform; it is built again on first use after unpickling."""
        if self._engine is None:
            settings = {name: getattr(self, name) for name in SETTINGS}
            self._engine = shared_engine(self.driving, self.model, {"p": 1.0, **settings}, self.device)
        return self._engine

    @property
    def targets(self) -> dict[str, Callable[..., Any]]:
        """The methods that move pictures, masks, boxes and points."""
        return {
            "image": self.apply,
            "images": self.apply_to_images,
            "mask": self.apply_to_mask,
            "masks": self.apply_to_masks,
            "bboxes": self.apply_to_bboxes,
            "keypoints": self.apply_to_keypoints,
        }

    def should_apply(self, force_apply: bool = False) -> bool:  # noqa: FBT001, FBT002
        """Decide whether to move; workers and ranks decide independently."""
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

        The flow is added to the parameters of this one call only, so that logs and replays stay small.
        """
        main = "image" if kwargs.get("image") is not None else "images"
        if kwargs.get(main) is None:
            raise ArgumentError(f"labels move with their picture; pass image=... together with {sorted(kwargs)}")
        pictures = np.asarray(kwargs[main])
        pictures = pictures[None] if main == "image" else pictures
        moved, movement = self._animate(pictures, params["motion"])
        here = {**params, "movement": movement}
        rest = {key: value for key, value in kwargs.items() if key != main}
        found = super().apply_with_params(here, *args, **rest)
        found[main] = moved[0] if main == "image" else moved
        return {key: found[key] for key in kwargs}

    def apply(self, img: Array, motion: Mapping[str, Any], **_: Any) -> Array:
        """Animate one (H, W, C) or (H, W) picture."""
        moved: Array = self._animate(img[None], motion)[0][0]
        return moved

    def apply_to_images(self, images: Array, motion: Mapping[str, Any], **_: Any) -> Array:
        """Animate (N, H, W, C) or (N, H, W) pictures by the same parameters."""
        return self._animate(images, motion)[0]

    def apply_to_mask(self, mask: Array, movement: Movement, **_: Any) -> Array:
        """Move a (H, W) or (H, W, C) mask."""
        moved: Array = self.apply_to_masks(mask[None], movement)[0]
        return moved

    def apply_to_masks(self, masks: Array, movement: Movement, **_: Any) -> Array:
        """Move (N, H, W) or (N, H, W, C) masks of one picture."""
        values = _to_images(masks)
        return like_array(movement.of([0] * len(values), values.device).masks(values), masks)

    def apply_to_bboxes(self, bboxes: Array, movement: Movement, **_: Any) -> Array:
        """Move (N, 4+) boxes, edges in [0, 1]; further columns stay.

        A box with less than a tenth visible becomes empty, so that albumentations drops it.
        """
        if not len(bboxes):  # a table without columns
            return bboxes
        height, width = movement.size
        span = torch.tensor([width, height] * 2)
        edges = torch.from_numpy(bboxes[:, :4].astype(np.float32)) * span
        moved, visible = movement.boxes(warp.edges_to_centres(edges)[None])
        found = (warp.centres_to_edges(moved[0]) / span).clamp(0, 1)
        found[~visible[0], 2:] = found[~visible[0], :2]
        return _with_columns(bboxes, found)

    def apply_to_keypoints(self, keypoints: Array, movement: Movement, **_: Any) -> Array:
        """Move (N, 2+) points in pixels; angle and scale stay.

        Points that the picture no longer shows, or where the model painted, become coordinates outside of the picture
        if albumentations is to drop them (`remove_invisible`), otherwise the nearest coordinates.
        """
        if not len(keypoints):
            return keypoints
        xy = torch.from_numpy(keypoints[:, :2].astype(np.float32))
        moved, visible = movement.points(xy[None])
        if self._drops_points():
            moved[~visible] = -1.0
        return _with_columns(keypoints, moved[0])

    def get_transform_init_args(self) -> dict[str, Any]:
        """Return all arguments as plain JSON; pools and models given as objects are represented by their hashes."""
        values = super().get_transform_init_args()
        return {**values, "driving": name_of(self.driving), "model": name_of(self.model)}

    def _animate(self, pictures: Array, motion: Mapping[str, Any]) -> tuple[Array, Movement]:
        """Animate (N, H, W[, C]) pictures; return them, and the movement of the first."""
        result = self.engine.apply(_to_images(pictures), [MotionParams.from_dict(motion)] * len(pictures))
        return like_array(result.image, pictures), movement_of(result).of([0], result.flow.device)

    def _drops_points(self) -> bool:
        processor = self.get_processor("keypoints")
        return processor is not None and bool(processor.params.remove_invisible)

    def _next_key(self) -> str | int:
        """Draw a key from albumentations' generator; it differs between workers, passes and ranks."""
        return counted_keys(int(self.random_generator.integers(2**62)), 1)[0]

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the engine; worker processes load named models and pools and share them among transforms."""
        return {**self.__dict__, "_engine": None}


def _with_columns(table: Array, first: Tensor) -> Array:
    moved = table.copy()
    moved[:, : first.shape[1]] = first.numpy()
    return moved


def _to_images(pictures: Array) -> Tensor:
    """Convert (N, H, W) or (N, H, W, C) pictures to (N, C, H, W)."""
    return to_tensor(pictures[..., None] if pictures.ndim == 3 else pictures)
