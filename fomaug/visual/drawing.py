"""Draw keypoints, flow and occlusion over pictures, and put pictures side by side."""

from __future__ import annotations

import colorsys
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fomaug.errors import ArgumentError, ShapeError
from fomaug.media import Frame

Floats = NDArray[np.floating[Any]]

_INVENTED: Final = (255, 60, 40)
_MIX: Final = 0.6  # weight of the colours of a map over the picture


def keypoint_pixels(points: Floats, size: tuple[int, int]) -> NDArray[np.float64]:
    """Convert keypoints to pixels of a picture.

    Args:
        points: (K, 2), x and y in [-1, 1] of the square to which the picture is padded.
        size: (H, W) of the picture.

    Returns:
        (K, 2) in pixels of the picture; points in the padding are outside.

    >>> keypoint_pixels(np.array([[0.0, 0.0]]), (101, 51)).tolist()
    [[25.0, 50.0]]
    """
    square = max(size)
    padding = np.array([(square - size[1]) // 2, (square - size[0]) // 2])
    pixels: NDArray[np.float64] = (np.asarray(points, np.float64) + 1) / 2 * (square - 1) - padding
    return pixels


def draw_keypoints(picture: Frame, points: Floats, *, radius: float | None = None) -> Frame:
    """Draw keypoints as discs, each in its own colour.

    Args:
        picture: (H, W, 3) uint8; not modified.
        points: (K, 2), x and y in [-1, 1] of the padded square.
        radius: radius of a disc in pixels; None for an eightieth of the picture's longer side.
    """
    height, width = _check(picture)
    radius = max(1.5, max(height, width) / 80) if radius is None else radius
    image = Image.fromarray(picture)
    canvas = ImageDraw.Draw(image)
    for row, (x, y) in enumerate(keypoint_pixels(points, (height, width))):
        colour = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(row / len(points), 0.85, 1.0))
        canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=(0, 0, 0))
    return np.asarray(image)


def draw_flow(picture: Frame, flow: Floats, *, full: float = 0.15) -> Frame:
    """Colour a picture by its motion: the hue shows the direction, the opacity the length.

    Right is red, down is yellow-green, left is cyan, up is violet; pixels that do not move keep their colour.

    Args:
        picture: (H, W, 3) uint8; not modified.
        flow: (h, w, 2) backward flow, x and y in [-1, 1], corner-aligned.
        full: length of motion, in halves of the picture, that gets the full opacity.
    """
    size = _check(picture)
    rows, columns = (np.linspace(-1, 1, count) for count in flow.shape[:2])
    motion = np.stack(np.meshgrid(columns, rows), -1) - flow  # a backward flow points to the source of each pixel
    angle = np.arctan2(motion[..., 1], motion[..., 0]) / (2 * np.pi) % 1
    length = np.clip(np.linalg.norm(motion, axis=-1) / full, 0, 1)
    hue = (angle * 255).astype(np.uint8)
    colours = Image.fromarray(np.dstack([hue, np.full_like(hue, 220), np.full_like(hue, 255)]), "HSV").convert("RGB")
    # Colours are interpolated rather than angles, because the mean of two hues may be any other hue.
    return _blend(picture, np.asarray(colours, np.float32), length, size)


def draw_occlusion(picture: Frame, occlusion: Floats) -> Frame:
    """Colour red the pixels that were painted rather than taken from the source.

    Args:
        picture: (H, W, 3) uint8; not modified.
        occlusion: (h, w) in [0, 1], 1 for pixels from the source.
    """
    size = _check(picture)
    red = np.broadcast_to(np.array(_INVENTED, np.float32), (*occlusion.shape, 3))
    return _blend(picture, red, 1 - np.clip(occlusion, 0, 1), size)


def side_by_side(*pictures: NDArray[np.uint8], gap: int = 4, height: int | None = None) -> NDArray[np.uint8]:
    """Put pictures next to one another, scaled to one height, on white.

    Args:
        pictures: (H, W, 3) uint8 each.
        gap: width in pixels of the white gap between two pictures.
        height: height of the result; None for that of the first.

    Returns:
        (height, W, 3) uint8.

    >>> side_by_side(np.zeros((8, 8, 3), np.uint8), np.zeros((4, 2, 3), np.uint8), gap=2).shape
    (8, 14, 3)
    """
    if not pictures:
        raise ArgumentError("side_by_side needs at least one picture")
    height = height or pictures[0].shape[0]
    white = np.full((height, gap, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (_to_height(picture, height), white)]
    return np.concatenate(parts[:-1], axis=1)


def _blend(picture: Frame, colours: Floats, share: Floats, size: tuple[int, int]) -> Frame:
    layers = [_enlarge(colours[..., channel], size) for channel in range(3)]
    weight = _MIX * _enlarge(share, size)[..., None]
    mixed: Frame = ((1 - weight) * picture + weight * np.stack(layers, -1)).round().clip(0, 255).astype(np.uint8)
    return mixed


def _enlarge(layer: Floats, size: tuple[int, int]) -> NDArray[np.float32]:
    image = Image.fromarray(np.ascontiguousarray(layer, dtype=np.float32))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _check(picture: Frame) -> tuple[int, int]:
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise ShapeError(f"a picture to draw on must be (H, W, 3) uint8, got {picture.shape} {picture.dtype}")
    return picture.shape[0], picture.shape[1]


def _to_height(picture: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    if picture.shape[0] == height:
        return picture
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))
