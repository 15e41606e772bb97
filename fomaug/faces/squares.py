"""Squares of pictures: they are cut out for the animation, and animated faces are put back without a seam.

From the middle of a square to its edges, first the animated face fades into the source warped by the same flow: both
show the same features at the same pixels, so none appears twice. Then that flow fades to the identity, so that the
edges of the square are those of the source.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fomaug.device import send
from fomaug.geometry import identity_grid, resize_flow, warp_image
from fomaug.media import Picture

FACE_SHARE: Final = 1.8
"""Side of the square over the longer side of the face's box, as in the pictures that face models are trained on."""

_RAISE: Final = 0.08  # as a share of the box's height, because boxes end at the brows
_LEAST_SIDE: Final = 32  # pixels; smaller squares have too little detail to animate

Size = tuple[int, int]
Pixel = TypeVar("Pixel", bound=np.generic)


class Square(NamedTuple):
    """A rectangle of a picture in whole pixels; a square unless it is clipped at the picture's edges.

    Attributes:
        left: first column.
        top: first row.
        right: last column plus one.
        bottom: last row plus one.
    """

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> Size:
        """(H, W)."""
        return self.bottom - self.top, self.right - self.left

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom), a plain tuple."""
        return self.left, self.top, self.right, self.bottom

    def cut(self, images: Tensor) -> Tensor:
        """Cut the square out of images (..., H, W); the result is a view.

        >>> import torch
        >>> Square(2, 1, 6, 4).cut(torch.zeros(3, 8, 8)).shape
        torch.Size([3, 3, 4])
        """
        return images[..., self.top : self.bottom, self.left : self.right]

    def cut_pixels(self, pixels: NDArray[Pixel]) -> NDArray[Pixel]:
        """Cut the square out of pixels (H, W, ...); the result is a view.

        >>> Square(2, 1, 6, 4).cut_pixels(np.zeros((8, 8, 3))).shape
        (3, 4, 3)
        """
        return pixels[self.top : self.bottom, self.left : self.right]

    def cut_picture(self, picture: Picture) -> Picture:
        """Cut the square out of a picture with its alpha channel; the arrays are views."""
        alpha = None if picture.alpha is None else self.cut_pixels(picture.alpha)
        return replace(picture, pixels=self.cut_pixels(picture.pixels), alpha=alpha)

    def lies_in(self, size: Size) -> bool:
        """Return whether the square has an area and is inside of a picture of (H, W)."""
        return 0 <= self.left < self.right <= size[1] and 0 <= self.top < self.bottom <= size[0]


def whole_picture(size: Size) -> Square:
    """Return the rectangle of a whole picture of (H, W)."""
    return Square(0, 0, size[1], size[0])


def face_square(box: Sequence[float], size: Size) -> Square | None:
    """Return a square around a face's box, clipped at the picture's edges.

    Args:
        box: (left, top, right, bottom) in pixels; more columns are ignored.
        size: (H, W) of the picture.

    Returns:
        The square; None if the box is outside of the picture, or too small.
    """
    left, top, right, bottom = (float(edge) for edge in box[:4])
    side = FACE_SHARE * max(right - left, bottom - top)
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2 - _RAISE * (bottom - top)
    square = Square(
        max(0, round(middle_x - side / 2)),
        max(0, round(middle_y - side / 2)),
        min(size[1], round(middle_x + side / 2)),
        min(size[0], round(middle_y + side / 2)),
    )
    return square if min(square.size) >= _LEAST_SIDE else None


def face_squares(boxes: Iterable[Sequence[float]], size: Size) -> tuple[Square, ...]:
    """Return squares around the boxes of faces, see `face_square`; boxes without a square are left out."""
    squares = (face_square(box, size) for box in boxes)
    return tuple(square for square in squares if square is not None)


_FLOW_BAND: Final = 0.12  # share of the square over which the motion fades to none
_FACE_BAND: Final = 0.08  # share of the square, inside of that, over which the animated face fades to the warped source
_MOST_CELLS: Final = 512


@dataclass(frozen=True, eq=False)
class MovedFace:
    """A face that was cut out and animated, N times.

    Attributes:
        square: square that was cut out of the picture.
        image: (N, C, h, w) animated square, of the picture's dtype and range; or float in [0, 1] for any picture of
            integers.
        flow: (N, h', w', 2) backward flow in the square's own frame.
        occlusion: (N, 1, h', w') in [0, 1].
    """

    square: Square
    image: Tensor
    flow: Tensor
    occlusion: Tensor


def put_back(whole: Tensor, faces: Sequence[MovedFace], *, value_range: tuple[float, float] = (0.0, 1.0)) -> Tensor:
    """Blend animated faces into their pictures.

    Args:
        whole: (N or 1, C, H, W) pictures of uint8, uint16 or float in `value_range`; not modified.
        faces: faces of N pictures each; later ones cover earlier ones.
        value_range: lowest and highest value of float pictures.

    Returns:
        (N, C, H, W) as `whole`, which is returned as it is if there are no faces. Outside of the squares, the pictures
        are unchanged, bit for bit.
    """
    for face in faces:
        whole = _put_one_back(whole, face, value_range)
    return whole


def compose_motion(size: Size, cells: Size, faces: Sequence[MovedFace]) -> tuple[Tensor, Tensor]:
    """Compose the motions of faces to one flow and one occlusion of their whole pictures.

    Args:
        size: (H, W) of the pictures.
        cells: (h, w) of the resulting flow, see `flow_cells`.
        faces: one or more faces, of N pictures each; later ones cover earlier ones.

    Returns:
        (N, h, w, 2) backward flow and (N, 1, h, w) occlusion, float32; identity and ones outside of the squares.
    """
    like = faces[0].flow
    flow = identity_grid(cells, device=like.device).expand(len(like), -1, -1, -1)
    occlusion = torch.ones(len(like), 1, *cells, device=like.device)
    for face in faces:
        flow, occlusion = _add_motion(flow, occlusion, face, size)
    return flow, occlusion


def flow_cells(size: Size, density: float) -> Size:
    """Choose the resolution of a whole picture's flow.

    Args:
        size: (H, W) of the picture.
        density: cells per pixel; lower for pictures whose longer side would have more than 512 cells.

    >>> flow_cells((300, 400), 1 / 2), flow_cells((2000, 4096), 1 / 2)
    ((150, 200), (250, 512))
    """
    density = min(density, _MOST_CELLS / max(size))
    return max(2, math.ceil(size[0] * density)), max(2, math.ceil(size[1] * density))


def fades(square: Square, size: Size, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Return the weights of a square's motion, and of the animated face in it.

    Both are 1 inside and 0 at the square's edges, but for those at the picture's own edges; the face's weight is above
    0 only where the motion's weight is 1.

    Args:
        square: square in the picture.
        size: (H, W) of the picture.
        device: device of the weights.

    Returns:
        Two tensors (h, w) of the square's size.
    """
    motion, face = (
        [
            _ramp(length, band, device, fades=(low > 0, high < end))
            for length, low, high, end in (
                (square.size[0], square.top, square.bottom, size[0]),
                (square.size[1], square.left, square.right, size[1]),
            )
        ]
        for band in ((0.0, _FLOW_BAND), (_FLOW_BAND, _FACE_BAND))
    )
    return torch.minimum(motion[0][:, None], motion[1]), torch.minimum(face[0][:, None], face[1])


def _put_one_back(whole: Tensor, face: MovedFace, value_range: tuple[float, float]) -> Tensor:
    before = face.square.cut(whole).to(face.image.device, _working_dtype(whole.dtype))
    unit = 1.0
    if not whole.is_floating_point():
        value_range = (0.0, float(torch.iinfo(whole.dtype).max))
        unit = value_range[1] if face.image.is_floating_point() else 1.0
    blended = _blend(before / unit, face, (whole.shape[2], whole.shape[3])) * unit
    # Clamped inside only: elsewhere, a picture's values may exceed its range, and must be kept.
    blended = blended.clamp(*value_range)
    pasted = whole.expand(len(face.image), -1, -1, -1).clone()
    face.square.cut(pasted).copy_(blended if whole.is_floating_point() else blended.round())
    return pasted


def _working_dtype(dtype: torch.dtype) -> torch.dtype:
    # At the levels of 16 bits, the coordinates and weights of float32 are too coarse.
    return torch.float64 if dtype == torch.uint16 else torch.promote_types(dtype, torch.float32)


def _blend(before: Tensor, face: MovedFace, size: Size) -> Tensor:
    """Fade from the animated face, inside of the square, to what was there before, at its edges."""
    of_motion, of_face = (weight.to(before.dtype) for weight in fades(face.square, size, before.device))
    still = before.expand(len(face.image), -1, -1, -1)
    warped = warp_image(still, _faded(face.flow.to(before.dtype), of_motion), mode="bicubic", padding="border")
    return torch.lerp(warped, face.image.to(before.dtype), of_face)


def _ramp(length: int, band: tuple[float, float], device: torch.device | None, *, fades: tuple[bool, bool]) -> Tensor:
    """Rise smoothly over a band (its start, its width, in shares of the length) beside each end that fades."""
    start, width = (share * length for share in band)
    pixels = torch.arange(length, device=device)
    weight = torch.ones(length, device=device)
    for fade, distance in zip(fades, (pixels, pixels.flip(0)), strict=True):
        if fade:
            weight = weight.minimum(((distance - start) / max(width, 1.0)).clamp(0, 1))
    return weight * weight * (3 - 2 * weight)


def _faded(flow: Tensor, weight: Tensor) -> Tensor:
    """Resize flows (N, h, w, 2) to the size of the weight (H, W), and multiply their motion by it."""
    size = weight.shape[0], weight.shape[1]
    still = identity_grid(size, device=flow.device, dtype=flow.dtype)
    return still + weight[..., None] * (resize_flow(flow, size) - still)


def _add_motion(flow: Tensor, occlusion: Tensor, face: MovedFace, size: Size) -> tuple[Tensor, Tensor]:
    """Blend the flow of a square into the picture's; both are corner-aligned in their own frames."""
    still = identity_grid((flow.shape[1], flow.shape[2]), device=flow.device)
    scale, offset = send(_to_picture_frame(face.square, size), flow.device)
    inner = ((still - offset) / scale)[None]  # the picture's cells in the square's frame
    inside = (inner.abs() <= 1).all(-1)[:, None].float()
    of_motion, of_face = (
        _sample(weight[None, None], inner) * inside for weight in fades(face.square, size, flow.device)
    )
    own = _sample(face.flow.float().permute(0, 3, 1, 2), inner).permute(0, 2, 3, 1) * scale + offset
    faded = torch.lerp(still[None], own, of_motion.permute(0, 2, 3, 1))
    # Beside the face, earlier content is moved along: it may be the edge of another face.
    moved = faded + _sample((flow - still).permute(0, 3, 1, 2), faded).permute(0, 2, 3, 1)
    flow = torch.lerp(moved, own, of_face.permute(0, 2, 3, 1))
    return flow, torch.lerp(_sample(occlusion, faded), _sample(face.occlusion.float(), inner), of_face)


def _sample(maps: Tensor, coordinates: Tensor) -> Tensor:
    """Sample maps (N, C, h, w) at coordinates (N or 1, H, W, 2)."""
    grid = coordinates.expand(len(maps), -1, -1, -1)
    return F.grid_sample(maps, grid, padding_mode="border", align_corners=True)


def _to_picture_frame(square: Square, size: Size) -> tuple[list[float], list[float]]:
    """Return the scale and the offset, (x, y) each, that bring the square's [-1, 1] to the picture's."""
    last = np.maximum(np.array(size[::-1]) - 1, 1)
    low = (np.array([square.left, square.top]) / last).astype(np.float32) * 2 - 1
    high = (np.array([square.right - 1, square.bottom - 1]) / last).astype(np.float32) * 2 - 1
    return ((high - low) / 2).tolist(), ((high + low) / 2).tolist()
