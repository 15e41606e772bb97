"""torchvision's pictures and tv_tensors, moved."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

import PIL.Image
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import BoundingBoxFormat

from fomaug import warp
from fomaug.augment import MotionAugment, MotionResult
from fomaug.errors import ShapeError
from fomaug.integrations.engine import apply_there
from fomaug.integrations.pixels import Size, move_boxes_px, move_corners_px, move_points_px
from fomaug.motion import MotionParams

# Points came with torchvision 0.23, boxes that are not upright with 0.22.
LABELS: Final = tuple(
    getattr(tv_tensors, name) for name in ("Mask", "BoundingBoxes", "KeyPoints") if hasattr(tv_tensors, name)
)
_UPRIGHT: Final = ("XYXY", "XYWH", "CXCYWH")


class MovedPicture:
    """A picture, how it shall move, and, once asked for, where everything went."""

    def __init__(self, engine: MotionAugment, picture: Any, motions: list[MotionParams]) -> None:
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

    def label(self, given: Any) -> Any:
        """Move a `Mask`, `BoundingBoxes` or `KeyPoints` along; what belongs to skipped images is untouched."""
        if all(motion.skipped for motion in self._motions):
            return given
        if isinstance(given, tv_tensors.Mask):
            moved = self._mask(given)
        else:
            moved = self._boxes(given) if isinstance(given, tv_tensors.BoundingBoxes) else self._points(given)
        for row, motion in enumerate(self._result.params):
            if motion.skipped:
                moved[row] = given.as_subclass(torch.Tensor)[row]
        return tv_tensors.wrap(moved, like=given)

    def _mask(self, mask: Tensor) -> Tensor:
        """Move (..., H, W) masks of one image, or (B, ..., H, W) masks of B."""
        flow = self._flow(mask)
        values = mask.as_subclass(torch.Tensor).reshape(len(flow), -1, *mask.shape[-2:])
        moved: Tensor = warp.mask(values, flow)
        return moved.reshape(mask.shape)

    def _points(self, points: Any) -> Tensor:
        """Move (..., 2) points of one image, or (B, ..., 2) points of B."""
        xy = points.as_subclass(torch.Tensor)
        flow = self._flow(xy)
        return move_points_px(xy.reshape(len(flow), -1, 2), flow, points.canvas_size)[0].reshape(xy.shape)

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

    def _upright(self, edges: Tensor, size: Size) -> Tensor:
        """Move (N, 4) boxes."""
        flow = self._flow(edges)
        rows = warp.edges_to_centres(edges).reshape(len(flow), -1, 4)
        return warp.centres_to_edges(move_boxes_px(rows, flow, size)[0]).reshape(edges.shape)

    def _tilted(self, corners: Tensor, size: Size) -> Tensor:
        """Move the corners of (N, 8) boxes."""
        flow = self._flow(corners)
        return (move_corners_px(corners.reshape(len(flow), -1, 2) - 0.5, flow, size) + 0.5).reshape(corners.shape)

    def _flow(self, labels: Tensor) -> Tensor:
        flow = self._result.flow.to(labels.device)
        if len(flow) > 1 and (labels.ndim == 0 or len(labels) != len(flow)):
            raise ShapeError(
                f"the labels of {len(flow)} images carry one row for each of them, got {tuple(labels.shape)}; move "
                "samples before they are batched if they have several boxes each"
            )
        return flow


def count_motions(picture: Any) -> int:
    """How many motions a picture takes: one for each image of a batch, one for each video."""
    if isinstance(picture, PIL.Image.Image):
        return 1
    inner = 4 if isinstance(picture, tv_tensors.Video) else 3
    return int(torch.Size(picture.shape[:-inner]).numel())


def _images(picture: Any) -> Tensor:
    """Bring a picture to (N, C, H, W)."""
    if isinstance(picture, PIL.Image.Image):
        if picture.mode not in ("RGB", "L"):
            raise ShapeError(f"a PIL picture must be RGB or L, got {picture.mode}; use picture.convert('RGB') before")
        return F.pil_to_tensor(picture)[None]  # type: ignore[no-any-return]
    plain = picture.as_subclass(torch.Tensor)
    return plain.reshape(-1, *plain.shape[-3:])  # type: ignore[no-any-return]
