"""`MotionAugment` as a torchvision v2 transform.

>>> from torchvision.transforms import v2  # doctest: +SKIP
>>> from fomaug.integrations.torchvision import MotionAugment  # doctest: +SKIP
>>> transform = v2.Compose([MotionAugment(p=0.5), v2.RandomHorizontalFlip()])  # doctest: +SKIP
>>> image, target = transform(image, {"masks": masks, "boxes": boxes, "label": 3})  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor

from fomaug import warp
from fomaug.animator import Animator
from fomaug.augment import MotionAugment as _Engine
from fomaug.augment import MotionResult
from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError, ShapeError
from fomaug.imports import require
from fomaug.integrations.engine import SETTINGS, apply_there, own_engine, random_numbers
from fomaug.labels import Movement
from fomaug.media import check_mode
from fomaug.motion import Interval, MotionParams, Region, Selection
from fomaug.options import AUTO

require("torchvision")

import PIL.Image  # noqa: E402
from torchvision import tv_tensors  # noqa: E402
from torchvision.transforms import v2  # noqa: E402
from torchvision.transforms.v2 import functional as F  # noqa: E402
from torchvision.tv_tensors import BoundingBoxFormat  # noqa: E402

Size = tuple[int, int]

# Points came with torchvision 0.23, boxes that are not upright with 0.22.
_LABELS: Final = tuple(
    getattr(tv_tensors, name) for name in ("Mask", "BoundingBoxes", "KeyPoints") if hasattr(tv_tensors, name)
)
_UPRIGHT: Final = ("XYXY", "XYWH", "CXCYWH")


class MotionAugment(v2.Transform):  # type: ignore[misc]
    """Move faces as the faces of driving clips move, and their labels with them.

    Input is a sample or a batch: (..., 3 or 1, H, W) `Image`, `Video`, plain tensor or PIL picture. Each image of a
    batch gets a motion of its own, each frame of a `Video` the same. `Mask`, `BoundingBoxes` and `KeyPoints` follow the
    first picture; those of a batch carry its first dimension, boxes one for each image. Further pictures of a sample
    get the same motion parameters.

    Random numbers come from torch's generator, as everywhere in torchvision; everything else about a draw depends on
    the number alone. The model moves to the device of the images.

    Arguments that are not listed are those of `fomaug.MotionAugment`. As draws have no order here,
    `selection="diverse"` prefers large motions.

    Args:
        p: probability of moving an image.
    """

    _transformed_types = (torch.Tensor, PIL.Image.Image)

    def __init__(
        self,
        driving: DrivingPool | str | Path = AUTO,
        model: Animator | str | Path = "lite-256",
        p: float = 0.5,
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
        value_range: Interval = (0.0, 1.0),
        batch_size: int | None = None,
        differentiable: bool = False,
    ) -> None:
        super().__init__()
        given = locals()
        settings = {name: given[name] for name in ("p", *SETTINGS, "value_range", "batch_size", "differentiable")}
        for name, value in settings.items():
            setattr(self, name, value)
        # In a tuple it is not a submodule: it has no state to save, and it follows the images, not `.to(...)`.
        self._engines = (own_engine(driving, model, settings),)

    @property
    def engine(self) -> _Engine:
        """The `fomaug.MotionAugment` inside."""
        return self._engines[0]

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw a motion for each image of the first picture.

        Returns:
            `motions`, a list of `fomaug.MotionParams`, plain JSON to be logged or replayed; and `first`, the first
            picture, which is animated on first use.
        """
        picture = next((item for item in flat_inputs if not isinstance(item, _LABELS)), None)
        if picture is None:
            raise ArgumentError("MotionAugment found labels and no image; pass the image together with its labels")
        numbers = random_numbers(_count_motions(picture)).tolist()
        return self.params_for(picture, self.engine.draw([str(number) for number in numbers]))

    def params_for(self, picture: Any, motions: Sequence[MotionParams]) -> dict[str, Any]:
        """Return parameters with which `transform(item, params)` replays motions that were drawn before."""
        return {"motions": list(motions), "first": _MovedPicture(self.engine, picture, list(motions))}

    def visible_points(self, points: Any, params: dict[str, Any]) -> Tensor:
        """Return which points the moved picture shows, because `KeyPoints` have no visibility.

        Args:
            points: (..., 2) `KeyPoints` of the first picture before it was moved.
            params: parameters from `make_params` or `params_for`.

        Returns:
            (...) bool; False for points outside, behind something, turned away, or where the model painted.
        """
        first: _MovedPicture = params["first"]
        return first.visible_points(points)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Move a picture, or the labels of the first picture."""
        first: _MovedPicture = params["first"]
        if isinstance(inpt, _LABELS):
            return first.label(inpt)
        if inpt is first.picture:
            return first.image
        return _MovedPicture(self.engine, inpt, params["motions"]).image


class _MovedPicture:
    """A picture and its motions; it is animated on first use."""

    def __init__(self, engine: _Engine, picture: Any, motions: list[MotionParams]) -> None:
        self.picture = picture
        self._engine = engine
        self._motions = motions

    @cached_property
    def _result(self) -> MotionResult:
        images = _images(self.picture)
        copies = len(images) // max(len(self._motions), 1)
        if copies * len(self._motions) != len(images):
            raise ShapeError(
                f"the pictures of a sample share {len(self._motions)} motions, but one has {len(images)} images; "
                "give pictures of one batch size"
            )
        return apply_there(self._engine, images, [motion for motion in self._motions for _ in range(copies)])

    @property
    def image(self) -> Any:
        """The moved picture, of the same type; the same object if nothing moves."""
        if all(motion.skipped for motion in self._motions):
            return self.picture
        if isinstance(self.picture, PIL.Image.Image):
            return F.to_pil_image(self._result.image[0], mode=self.picture.mode)
        return tv_tensors.wrap(self._result.image.reshape(self.picture.shape), like=self.picture)

    def label(self, given: Any) -> Any:
        """Move a `Mask`, `BoundingBoxes` or `KeyPoints`; the labels of skipped images are untouched."""
        if all(motion.skipped for motion in self._motions):
            return given
        if isinstance(given, tv_tensors.Mask):
            moved = self._mask(given)
        else:
            moved = self._boxes(given) if isinstance(given, tv_tensors.BoundingBoxes) else self._points(given)
        for row in set(range(len(self._result.flow))) - set(self._result.moving):
            moved[row] = given.as_subclass(torch.Tensor)[row]
        return tv_tensors.wrap(moved, like=given)

    def visible_points(self, points: Any) -> Tensor:
        """Return which points the moved picture shows."""
        if all(motion.skipped for motion in self._motions):
            return torch.ones(points.shape[:-1], dtype=torch.bool, device=points.device)
        return self._move_points(points.as_subclass(torch.Tensor), points.canvas_size)[1]

    def _mask(self, mask: Tensor) -> Tensor:
        """Move (..., H, W) masks of one image, or (B, ..., H, W) masks of B."""
        movement = self._movement(mask, (mask.shape[-2], mask.shape[-1]))
        values = mask.as_subclass(torch.Tensor).reshape(len(movement.flow), -1, *mask.shape[-2:])
        return movement.masks(values).reshape(mask.shape)

    def _points(self, points: Any) -> Tensor:
        return self._move_points(points.as_subclass(torch.Tensor), points.canvas_size)[0]

    def _boxes(self, boxes: Any) -> Tensor:
        """Move boxes of any format: upright ones to upright ones, others corner by corner; then clamp."""
        layout = BoundingBoxFormat["XYXY" if boxes.format.value in _UPRIGHT else "XYXYXYXY"]
        values = boxes.as_subclass(torch.Tensor).float()
        values = F.convert_bounding_box_format(values, old_format=boxes.format, new_format=layout)
        move = self._upright if boxes.format.value in _UPRIGHT else self._tilted
        values = move(values, boxes.canvas_size)
        values = F.convert_bounding_box_format(values, old_format=layout, new_format=boxes.format)
        back = (values if boxes.is_floating_point() else values.round()).to(boxes.dtype)
        clamped: Tensor = F.clamp_bounding_boxes(tv_tensors.wrap(back, like=boxes))
        given = boxes.as_subclass(torch.Tensor)
        missing = ~given.isfinite().all(-1, keepdim=True) | (given == -1).all(-1, keepdim=True)
        return torch.where(missing, given, clamped.as_subclass(torch.Tensor))

    def _move_points(self, xy: Tensor, size: Size) -> tuple[Tensor, Tensor]:
        """Move (..., 2) points of one image, or (B, ..., 2) points of B, and return whether each is visible."""
        movement = self._movement(xy, size)
        moved, visible = movement.points(xy.reshape(len(movement.flow), -1, 2))
        return moved.reshape(xy.shape), visible.reshape(xy.shape[:-1])

    def _upright(self, edges: Tensor, size: Size) -> Tensor:
        """Move (N, 4) boxes."""
        movement = self._movement(edges, size)
        rows = warp.edges_to_centres(edges).reshape(len(movement.flow), -1, 4)
        return warp.centres_to_edges(movement.boxes(rows)[0]).reshape(edges.shape)

    def _tilted(self, corners: Tensor, size: Size) -> Tensor:
        """Move the corners of (N, 8) boxes."""
        movement = self._movement(corners, size)
        centres = corners.reshape(len(movement.flow), -1, 2) - 0.5
        return (movement.corners(centres) + 0.5).reshape(corners.shape)

    def _movement(self, labels: Tensor, size: Size) -> Movement:
        flow, occlusion = self._result.flow, self._result.occlusion
        if len(flow) > 1 and (labels.ndim == 0 or len(labels) != len(flow)):
            raise ShapeError(
                f"the labels of {len(flow)} images must have one row for each of them, got {tuple(labels.shape)}; move "
                "samples before they are batched if they have several boxes each"
            )
        return Movement(flow, occlusion, size).of(slice(None), labels.device)


def _count_motions(picture: Any) -> int:
    """Return the number of a picture's motions: one for each image of a batch, one for each video."""
    if isinstance(picture, PIL.Image.Image):
        return 1
    inner = 4 if isinstance(picture, tv_tensors.Video) else 3
    return int(torch.Size(picture.shape[:-inner]).numel())


def _images(picture: Any) -> Tensor:
    """Bring a picture to (N, C, H, W)."""
    if isinstance(picture, PIL.Image.Image):
        check_mode(picture.mode)
        return F.pil_to_tensor(picture)[None]  # type: ignore[no-any-return]
    plain = picture.as_subclass(torch.Tensor)
    return plain.reshape(-1, *plain.shape[-3:])  # type: ignore[no-any-return]
