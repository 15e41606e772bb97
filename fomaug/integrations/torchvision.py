"""`MotionAugment` as a torchvision v2 transform.

>>> from torchvision.transforms import v2  # doctest: +SKIP
>>> from fomaug.integrations.torchvision import MotionAugment  # doctest: +SKIP
>>> transform = v2.Compose([MotionAugment(p=0.5), v2.RandomHorizontalFlip()])  # doctest: +SKIP
>>> image, target = transform(image, {"masks": masks, "boxes": boxes, "label": 3})  # doctest: +SKIP
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from fomaug import warp
from fomaug._errors import ArgumentError, ShapeError
from fomaug.animator import Animator
from fomaug.augment import MotionAugment as _Engine
from fomaug.augment import MotionParams, MotionResult
from fomaug.driving import DrivingPool
from fomaug.integrations._engine import apply_there, own_engine
from fomaug.integrations._pixels import centres_to_edges, edges_to_centres, move_boxes_px, move_points_px
from fomaug.integrations._require import require

require("torchvision")

import PIL.Image  # noqa: E402
from torchvision import tv_tensors  # noqa: E402
from torchvision.transforms import v2  # noqa: E402
from torchvision.transforms.v2 import functional as F  # noqa: E402

Interval = tuple[float, float]

# Points came with torchvision 0.23.
_KeyPoints: Any = getattr(tv_tensors, "KeyPoints", type(None))
_LABELS = (tv_tensors.Mask, tv_tensors.BoundingBoxes, _KeyPoints)
_CORNERS = "XYXYXYXY"


class MotionAugment(v2.Transform):  # type: ignore[misc]
    """Move faces as the faces of driving clips move, and their labels with them.

    Takes a sample or a batch: (..., 3 or 1, H, W) `Image`, `Video`, plain tensor or PIL picture. Each image of a batch
    gets a motion of its own, each frame of a `Video` the same. `Mask`, `BoundingBoxes` and `KeyPoints` follow the
    first picture; those of a batch carry its first dimension, boxes one for each image. Further pictures of a
    sample get the same motion parameters.

    Random numbers come from torch's generator, as everywhere in torchvision; everything else about a draw depends on
    the number alone. The model goes where the images are.

    Args:
        driving: a `DrivingPool`, "builtin", or the path of a pool file.
        model: an `Animator`, a model's name, or the path of a model file.
        p: probability of moving an image.
        strength_range: an image's share of the motion is drawn from this interval; 1 is all of it.
        selection: "diverse" prefers large motions; "uniform" takes all alike.
        relative: add the driving motion to the source's keypoints; otherwise the driving keypoints replace them.
        relative_jacobian: with `relative`, add the change of the jacobians, too.
        adapt_scale: with `relative`, scale the motion by the ratio of the faces' sizes.
        reference: the driving frame that counts as no motion: the "closest" to the source's pose, "first", a number.
        region: "all", or the part of the face that moves: "head", "mouth", "eyes", "expression".
        yaw_range: draw only driving frames turned by so many degrees.
        pitch_range: the same for nodding.
        value_range: lowest and highest value of float images; integers go from 0 to 255.
        batch_size: images per pass through the model; None for 64 on an accelerator, 16 on the CPU.
    """

    _transformed_types = (torch.Tensor, PIL.Image.Image)

    def __init__(
        self,
        driving: DrivingPool | str | Path = "builtin",
        model: Animator | str | Path = "lite-256",
        p: float = 0.5,
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
        value_range: Interval = (0.0, 1.0),
        batch_size: int | None = None,
    ) -> None:
        super().__init__()
        settings = {
            "p": p,
            "strength_range": strength_range,
            "selection": selection,
            "relative": relative,
            "relative_jacobian": relative_jacobian,
            "adapt_scale": adapt_scale,
            "reference": reference,
            "region": region,
            "yaw_range": yaw_range,
            "pitch_range": pitch_range,
            "value_range": value_range,
            "batch_size": batch_size,
        }
        for name, value in settings.items():
            setattr(self, name, value)
        # In a tuple it is no submodule: it has no state to save, and it follows the images, not `.to(...)`.
        self._engines = (own_engine(driving, model, settings),)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw a motion for each image of the first picture.

        Returns:
            `motions`, a list of `fomaug.MotionParams`, plain JSON to be logged or replayed; and `first`, the first
            picture and what becomes of it, worked out when it is needed.
        """
        picture = next((item for item in flat_inputs if not isinstance(item, _LABELS)), None)
        if picture is None:
            raise ArgumentError("MotionAugment found labels and no image; pass the image together with its labels")
        numbers = torch.randint(2**62, (_count(picture),)).tolist()
        motions = self._engines[0].draw([str(number) for number in numbers])
        return {"motions": motions, "first": _Moved(self._engines[0], picture, motions)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Move a picture or the labels of the first picture."""
        first: _Moved = params["first"]
        if isinstance(inpt, tv_tensors.Mask):
            return tv_tensors.wrap(first.mask(inpt), like=inpt)
        if isinstance(inpt, tv_tensors.BoundingBoxes):
            return first.boxes(inpt)
        if isinstance(inpt, _KeyPoints):
            return tv_tensors.wrap(first.points(inpt.as_subclass(torch.Tensor), inpt.canvas_size), like=inpt)
        if inpt is first.picture:
            return first.image
        return _Moved(self._engines[0], inpt, params["motions"]).image


class _Moved:
    """A picture, how it shall move, and, once asked for, where everything went."""

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
                f"a sample's pictures get the same {len(self._motions)} motions, and one has {len(images)} images; "
                "give pictures of one batch size"
            )
        return apply_there(self._engine, images, [motion for motion in self._motions for _ in range(copies)])

    @property
    def image(self) -> Any:
        """The moved picture, as it came; untouched if nothing moves."""
        if all(motion.skipped for motion in self._motions):
            return self.picture
        if isinstance(self.picture, PIL.Image.Image):
            return F.to_pil_image(self._result.image[0], mode=self.picture.mode)
        return tv_tensors.wrap(self._result.image.reshape(self.picture.shape), like=self.picture)

    def mask(self, mask: Tensor) -> Tensor:
        """Move (..., H, W) masks of one image, or (B, ..., H, W) masks of B."""
        flow = self._flow(mask)
        values = mask.as_subclass(torch.Tensor).reshape(len(flow), -1, *mask.shape[-2:])
        moved: Tensor = warp.mask(values, flow)
        return moved.reshape(mask.shape)

    def points(self, xy: Tensor, size: tuple[int, int]) -> Tensor:
        """Move (..., 2) points of one image, or (B, ..., 2) points of B."""
        flow = self._flow(xy)
        return move_points_px(xy.reshape(len(flow), -1, 2), flow, size)[0].reshape(xy.shape)

    def boxes(self, boxes: Any) -> Any:
        """Move boxes of any format: upright ones to upright ones, others corner by corner; then clamp."""
        upright = boxes.format.value in ("XYXY", "XYWH", "CXCYWH")
        values = F.convert_bounding_box_format(
            boxes.as_subclass(torch.Tensor).float(),
            old_format=boxes.format,
            new_format=tv_tensors.BoundingBoxFormat["XYXY" if upright else _CORNERS],
        )
        moved = self._upright(values, boxes.canvas_size) if upright else self._tilted(values, boxes.canvas_size)
        return _as_boxes(moved, boxes, "XYXY" if upright else _CORNERS)

    def _upright(self, edges: Tensor, size: tuple[int, int]) -> Tensor:
        flow = self._flow(edges)
        rows = edges_to_centres(edges).reshape(len(flow), -1, 4)
        return centres_to_edges(move_boxes_px(rows, flow, size)[0]).reshape(edges.shape)

    def _tilted(self, corners: Tensor, size: tuple[int, int]) -> Tensor:
        return (self.points(corners.reshape(len(corners), 4, 2) - 0.5, size) + 0.5).reshape(corners.shape)

    def _flow(self, labels: Tensor) -> Tensor:
        flow = self._result.flow.to(labels.device)
        if len(flow) > 1 and (labels.ndim == 0 or len(labels) != len(flow)):
            raise ShapeError(
                f"the labels of {len(flow)} images carry one row for each of them, got {tuple(labels.shape)}; move "
                "samples before they are batched if they have several boxes each"
            )
        return flow


def _as_boxes(values: Tensor, given: Any, layout: str) -> Any:
    """Bring boxes back to the format, dtype and clamping of those given."""
    back = F.convert_bounding_box_format(
        values, old_format=tv_tensors.BoundingBoxFormat[layout], new_format=given.format
    )
    if not given.is_floating_point():
        back = back.round()
    return F.clamp_bounding_boxes(tv_tensors.wrap(back.to(given.dtype), like=given))


def _count(picture: Any) -> int:
    """How many motions a picture takes: one for each image of a batch, one for each video."""
    if isinstance(picture, PIL.Image.Image):
        return 1
    inner = 4 if isinstance(picture, tv_tensors.Video) else 3
    return int(torch.Size(picture.shape[:-inner]).numel())


def _images(picture: Any) -> Tensor:
    """Bring a picture to (N, C, H, W)."""
    if isinstance(picture, PIL.Image.Image):
        return F.pil_to_tensor(picture)[None]  # type: ignore[no-any-return]
    plain = picture.as_subclass(torch.Tensor)
    return plain.reshape(-1, *plain.shape[-3:])  # type: ignore[no-any-return]
