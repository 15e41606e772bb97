"""`MotionAugment` as a kornia augmentation.

>>> import kornia.augmentation as K  # doctest: +SKIP
>>> from fomaug.integrations.kornia import MotionAugment  # doctest: +SKIP
>>> augment = K.AugmentationSequential(MotionAugment(p=0.5), data_keys=["input", "mask", "keypoints"])  # doctest: +SKIP
>>> images, masks, points = augment(images, masks, points)  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor

from fomaug import warp
from fomaug.animator import Animator
from fomaug.augment import MotionAugment as _Engine
from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError
from fomaug.integrations.engine import apply_there, own_engine, random_numbers
from fomaug.integrations.pixels import Size, move_boxes_px, move_points_px
from fomaug.integrations.require import require
from fomaug.motion import MotionParams

require("kornia")

from kornia.augmentation import GeometricAugmentationBase2D  # noqa: E402
from kornia.geometry.boxes import Boxes  # noqa: E402
from kornia.geometry.keypoints import Keypoints  # noqa: E402

Params = dict[str, Tensor]
Move = Callable[[Tensor, Tensor, Size], tuple[Tensor, Tensor]]
Interval = tuple[float, float]


class MotionAugment(GeometricAugmentationBase2D):
    """Move the faces of a batch as the faces of driving clips move, and their labels with them.

    Takes part in `AugmentationSequential` with every data key. Its parameters are `motion`, a random number for each
    image that names its draw, and `flow`, (B, h, w, 2), by which labels follow: given again as `params`, they give the
    same pixels. There is no matrix behind the motion, so `transform_matrix` is the identity and `inverse` an error.

    Random numbers come from torch's generator, on the device of `.to(...)`, as everywhere in kornia; everything else
    about a draw depends on the number alone. The model goes where the images are.

    Args:
        driving: a `DrivingPool`, "builtin", or the path of a pool file.
        model: an `Animator`, a model's name, or the path of a model file.
        strength_range: an image's share of the motion is drawn from this interval; 1 is all of it.
        selection: "diverse" prefers large motions; "uniform" takes all alike.
        relative: add the driving motion to the source's keypoints; otherwise the driving keypoints replace them.
        relative_jacobian: with `relative`, add the change of the jacobians, too.
        adapt_scale: with `relative`, scale the motion by the ratio of the faces' sizes.
        reference: the driving frame that counts as no motion: the "closest" to the source's pose, "first", a number.
        region: "all", or the part of the face that moves: "head", "mouth", "eyes", "expression".
        yaw_range: draw only driving frames turned by so many degrees.
        pitch_range: the same for nodding.
        batch_size: images per pass through the model; None for 64 on an accelerator, 8 on the CPU.
        differentiable: let gradients flow to the images.
        p: probability of moving an image.
        p_batch: probability of moving any image of a batch.
        same_on_batch: give all images of a batch the same motion.
        keepdim: keep the input's number of dimensions.
    """

    def __init__(
        self,
        driving: DrivingPool | str | Path = "builtin",
        model: Animator | str | Path = "lite-256",
        strength_range: Interval = (0.3, 1.0),
        selection: Literal["diverse", "uniform", "sequence"] = "diverse",
        *,
        relative: bool = True,
        relative_jacobian: bool = True,
        adapt_scale: bool = True,
        reference: Literal["closest", "first"] | int = "closest",
        region: str = "all",
        yaw_range: Interval | None = None,
        pitch_range: Interval | None = None,
        batch_size: int | None = None,
        differentiable: bool = False,
        p: float = 0.5,
        p_batch: float = 1.0,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        super().__init__(p=p, p_batch=p_batch, same_on_batch=same_on_batch, keepdim=keepdim)
        self.flags = {
            "strength_range": strength_range,
            "selection": selection,
            "relative": relative,
            "relative_jacobian": relative_jacobian,
            "adapt_scale": adapt_scale,
            "reference": reference,
            "region": region,
            "yaw_range": yaw_range,
            "pitch_range": pitch_range,
        }
        settings = {**self.flags, "p": 1.0, "batch_size": batch_size, "differentiable": differentiable}
        # In a tuple it is no submodule: it has no state to save, and it follows the images, not `.to(...)`.
        self._engines = (own_engine(driving, model, settings),)
        self._flows: list[Tensor] = []  # on the way from `apply_transform` to `forward`

    @property
    def engine(self) -> _Engine:
        """The `fomaug.MotionAugment` that does the work."""
        return self._engines[0]

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> Params:
        """Draw a number for each image: (B,) int64."""
        count = 1 if self.same_on_batch else batch_shape[0]
        motion = random_numbers(count, self.device)
        return {"motion": motion.expand(batch_shape[0]).clone()}

    def motion_params(self, params: Params) -> list[MotionParams]:
        """Say what motions these parameters stand for, one for each image: for logs and manifests."""
        skipped = (~self._moving(params)).tolist()
        drawn = self.engine.draw([str(number) for number in params["motion"].tolist()])
        return [_still(motion) if skip else motion for motion, skip in zip(drawn, skipped, strict=True)]

    def forward(self, input: Tensor, params: Params | None = None, **kwargs: Any) -> Tensor:
        """Move each image with probability `p`; see kornia for `params` and the rest."""
        shape = self.transform_tensor(input).shape
        params = self.forward_parameters(shape) if params is None else params
        output = super().forward(input, params, **kwargs)
        # kornia hands a copy of the parameters down; what moves the labels belongs to the ones that are kept.
        if self._flows:
            params["flow"] = self._flows.pop()
        return output

    def compute_transformation(self, input: Tensor, params: Params, flags: dict[str, Any]) -> Tensor:
        """(B, 3, 3) identity: a face's motion is no matrix."""
        return self.identity_matrix(input)

    def apply_transform(
        self, input: Tensor, params: Params, flags: dict[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        """Animate (B, 3 or 1, H, W) images in [0, 1]; those that p left out come back as they are."""
        result = apply_there(self.engine, input, self.motion_params(_for_rows(params, len(input))))
        self._flows[:] = [result.flow.detach()]
        return result.image

    def apply_transform_mask(
        self, input: Tensor, params: Params, flags: dict[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        """Move (B, C, H, W) masks, each value from its nearest pixel."""
        moved: Tensor = warp.mask(input, _flow_of(params, input))
        return moved

    def apply_transform_box(
        self, input: Boxes, params: Params, flags: dict[str, Any], transform: Tensor | None = None
    ) -> Boxes:
        """Move boxes; the result is upright."""
        corners = input.data  # (B, N, 4, 2) or (N, 4, 2), pixel centres
        flow = _flow_of(params, corners)
        xyxy = torch.cat([corners.amin(-2), corners.amax(-2)], -1)
        left, top, right, bottom = _each(move_boxes_px, xyxy, flow, _size(params)).unbind(-1)
        around = ((left, top), (right, top), (right, bottom), (left, bottom))
        moved = input.clone()
        moved._data = torch.stack([torch.stack(corner, -1) for corner in around], -2)
        return moved

    def apply_transform_keypoint(
        self, input: Keypoints, params: Params, flags: dict[str, Any], transform: Tensor | None = None
    ) -> Keypoints:
        """Move (B, N, 2) or (N, 2) points."""
        moved = input.clone()
        moved._data = _each(move_points_px, input.data, _flow_of(params, input.data), _size(params))
        return moved

    def apply_transform_class(
        self, input: Tensor, params: Params, flags: dict[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        """Labels of whole images stay: a moved face is the same person's."""
        return input

    def inverse(self, *_: Any, **__: Any) -> NoReturn:
        """Not possible: what a turned head hides cannot be had back."""
        raise NotImplementedError(
            "MotionAugment cannot be inverted: a turned head hides what it hides; keep the original images, or take "
            "MotionAugment out of the container before inverse()"
        )

    inverse_transform = inverse
    inverse_masks = inverse
    inverse_boxes = inverse
    inverse_keypoints = inverse

    def _moving(self, params: Params) -> Tensor:
        """(B,) which images move; with p = p_batch = 1 all, as kornia has it."""
        gate: Tensor = params["batch_prob"].reshape(-1).to(params["motion"].device) > 0.5
        # Before 0.9, kornia draws parameters for the images that move and for no others.
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


def _flow_of(params: Params, labels: Tensor) -> Tensor:
    if "flow" not in params:
        raise ArgumentError(
            "labels move with their images, and these parameters have not met an image yet; give the images to "
            "MotionAugment first, or together with the labels"
        )
    return params["flow"].to(labels.device)


def _size(params: Params) -> Size:
    height, width = params["forward_input_shape"].tolist()[-2:]
    return height, width


def _each(move: Move, labels: Tensor, flow: Tensor, size: Size) -> Tensor:
    """Move (B, N, C) labels, or the (N, C) labels of one image."""
    return move(labels, flow, size)[0] if labels.ndim == 3 else move(labels[None], flow, size)[0][0]
