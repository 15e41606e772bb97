"""`MotionAugment` as a kornia augmentation.

>>> import kornia.augmentation as K  # doctest: +SKIP
>>> from fomaug.integrations.kornia import MotionAugment  # doctest: +SKIP
>>> augment = K.AugmentationSequential(MotionAugment(p=0.5), data_keys=["input", "mask", "keypoints"])  # doctest: +SKIP
>>> images, masks, points = augment(images, masks, points)  # doctest: +SKIP
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor

from fomaug.animator import Animator
from fomaug.augment import MotionAugment as _Engine
from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError
from fomaug.imports import require
from fomaug.integrations.engine import SETTINGS, apply_there, movement_of, own_engine, random_numbers
from fomaug.labels import Movement
from fomaug.motion import Interval, MotionParams, Region, Selection
from fomaug.options import AUTO

require("kornia")

from kornia.augmentation import GeometricAugmentationBase2D  # noqa: E402
from kornia.geometry.boxes import Boxes  # noqa: E402
from kornia.geometry.keypoints import Keypoints  # noqa: E402

Params = dict[str, Tensor]


class MotionAugment(GeometricAugmentationBase2D):
    """Move the faces of a batch by the motion of driving clips, and move their labels with them.

    `AugmentationSequential` supports it with every data key. Its parameters are `motion`, a random number for each
    image that determines its draw, and `flow`, (B, h, w, 2), and `occlusion`, (B, 1, h, w), which move the labels. If
    they are passed again as `params`, pixels and labels are the same. A face's motion is not a matrix, so
    `transform_matrix` is the identity and `inverse` an error.

    Random numbers come from torch's generator, on the device of `.to(...)`, as everywhere in kornia; everything else
    about a draw depends on the number alone. The model moves to the device of the images.

    Arguments that are not listed are those of `fomaug.MotionAugment`. As draws have no order here,
    `selection="diverse"` prefers large motions.

    Args:
        p: probability of moving an image.
        p_batch: probability of moving any image of a batch.
        same_on_batch: whether all images of a batch have the same motion.
        keepdim: whether the result has the input's number of dimensions.
    """

    def __init__(
        self,
        driving: DrivingPool | str | Path = AUTO,
        model: Animator | str | Path = "lite-256",
        strength_range: Interval = (0.3, 1.0),
        selection: Selection = "diverse",
        *,
        relative: bool = True,
        relative_jacobian: bool = True,
        adapt_scale: bool = True,
        reference: Literal["closest", "first"] | int = "closest",
        region: Region = "all",
        yaw_range: Interval | None = None,
        pitch_range: Interval | None = None,
        mirror_probability: float = 0.0,
        batch_size: int | None = None,
        differentiable: bool = False,
        p: float = 0.5,
        p_batch: float = 1.0,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        super().__init__(p=p, p_batch=p_batch, same_on_batch=same_on_batch, keepdim=keepdim)
        given = locals()
        self.flags = {name: given[name] for name in SETTINGS}
        settings = {**self.flags, "p": 1.0, "batch_size": batch_size, "differentiable": differentiable}
        # In a tuple it is not a submodule: it has no state to save, and it follows the images, not `.to(...)`.
        self._engines = (own_engine(driving, model, settings),)
        self._movements: list[Movement] = []  # of the current batch, from `apply_transform` to `forward`

    @property
    def engine(self) -> _Engine:
        """The `fomaug.MotionAugment` of this augmentation."""
        return self._engines[0]

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> Params:
        """Draw a number for each image: (B,) int64."""
        count = 1 if self.same_on_batch else batch_shape[0]
        motion = random_numbers(count, self.device)
        return {"motion": motion.expand(batch_shape[0]).clone()}

    def motion_params(self, params: Params) -> list[MotionParams]:
        """Return the motions of these parameters, one for each image, for logs and manifests."""
        skipped = (~self._moving(params)).tolist()
        drawn = self.engine.draw([str(number) for number in params["motion"].tolist()])
        return [_still(motion) if skip else motion for motion, skip in zip(drawn, skipped, strict=True)]

    def forward(self, input: Tensor, params: Params | None = None, **kwargs: Any) -> Tensor:
        """Move each image with probability `p`; see kornia for `params` and the rest."""
        shape = self.transform_tensor(input).shape
        params = self.forward_parameters(shape) if params is None else params
        output = super().forward(input, params, **kwargs)
        # kornia passes a copy of the parameters; labels are moved by the original ones.
        if self._movements:
            movement = self._movements.pop()
            params["flow"] = movement.flow.detach()
            assert movement.occlusion is not None
            params["occlusion"] = movement.occlusion.detach()
        return output

    def visible_points(self, points: Tensor, params: Params) -> Tensor:
        """Return which points the moved images show, because kornia's keypoints have no visibility.

        Args:
            points: (B, N, 2) points of the images before they were moved.
            params: parameters of the call that moved the images.

        Returns:
            (B, N) bool; False for points outside, behind something, turned away, or where the model painted.
        """
        return _movement(params, points).points(points)[1]

    def compute_transformation(self, input: Tensor, params: Params, flags: dict[str, Any]) -> Tensor:
        """Return the identity (B, 3, 3): a face's motion is not a matrix."""
        return self.identity_matrix(input)

    def apply_transform(
        self, input: Tensor, params: Params, flags: dict[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        """Animate (B, 3 or 1, H, W) images in [0, 1]; those that are not drawn stay as they are."""
        result = apply_there(self.engine, input, self.motion_params(_for_rows(params, len(input))))
        self._movements[:] = [movement_of(result)]
        return result.image

    def apply_transform_mask(
        self, input: Tensor, params: Params, flags: dict[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        """Move (B, C, H, W) masks, each value from its nearest pixel."""
        return _movement(params, input).masks(input)

    def apply_transform_box(
        self, input: Boxes, params: Params, flags: dict[str, Any], transform: Tensor | None = None
    ) -> Boxes:
        """Move boxes; the result is upright."""
        corners = input.data  # (B, N, 4, 2) or (N, 4, 2), pixel centres
        xyxy = torch.cat([corners.amin(-2), corners.amax(-2)], -1)
        boxes = _movement(params, corners).boxes(_batched(xyxy))[0].reshape(xyxy.shape)
        left, top, right, bottom = boxes.unbind(-1)
        around = ((left, top), (right, top), (right, bottom), (left, bottom))
        moved = input.clone()
        moved._data = torch.stack([torch.stack(corner, -1) for corner in around], -2)
        return moved

    def apply_transform_keypoint(
        self, input: Keypoints, params: Params, flags: dict[str, Any], transform: Tensor | None = None
    ) -> Keypoints:
        """Move (B, N, 2) or (N, 2) points."""
        moved = input.clone()
        points = input.data
        moved._data = _movement(params, points).points(_batched(points))[0].reshape(points.shape)
        return moved

    def apply_transform_class(
        self, input: Tensor, params: Params, flags: dict[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        """Keep the labels of whole images, because a motion does not change the person."""
        return input

    def inverse(self, *_: Any, **__: Any) -> NoReturn:
        """Raise `NotImplementedError`, because the hidden parts of a turned head are lost."""
        raise NotImplementedError(
            "MotionAugment cannot be inverted, because the hidden parts of a turned head are lost; keep the original "
            "images, or remove MotionAugment from the container before inverse()"
        )

    inverse_transform = inverse
    inverse_masks = inverse
    inverse_boxes = inverse
    inverse_keypoints = inverse

    def _moving(self, params: Params) -> Tensor:
        """Return which images move, (B,) bool; all of them with p = p_batch = 1, as in kornia."""
        gate: Tensor = params["batch_prob"].reshape(-1).to(params["motion"].device) > 0.5
        # Before version 0.9, kornia draws parameters only for the images that move.
        only_moving = len(gate) != len(params["motion"])
        if only_moving or (self.p == 1 and self.p_batch == 1):
            return torch.ones_like(params["motion"], dtype=torch.bool)
        return gate


def _still(motion: MotionParams) -> MotionParams:
    none = {"clip": "", "clip_hash": "", "driver": "", "label": None, "frame": 0, "strength": 0.0}
    return replace(motion, skipped=True, **none)  # type: ignore[arg-type]


def _for_rows(params: Params, count: int) -> Params:
    """Repeat the parameters of videos for each of their frames."""
    frames = max(count // max(len(params["motion"]), 1), 1)
    return {name: params[name].reshape(-1).repeat_interleave(frames) for name in ("motion", "batch_prob")}


def _movement(params: Params, labels: Tensor) -> Movement:
    if "flow" not in params:
        raise ArgumentError(
            "labels move with their images, but no image was moved with these parameters; pass the images to "
            "MotionAugment first, or together with the labels"
        )
    height, width = params["forward_input_shape"].tolist()[-2:]
    return Movement(params["flow"], params.get("occlusion"), (height, width)).of(slice(None), labels.device)


def _batched(labels: Tensor) -> Tensor:
    """Return (B, N, C) labels; those of one image may come as (N, C)."""
    return labels if labels.ndim == 3 else labels[None]
