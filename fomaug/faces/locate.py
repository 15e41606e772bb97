"""Look for the faces of a picture: by a detector, or by the model itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomaug.animator import Animator
from fomaug.errors import ArgumentError
from fomaug.faces import face_boxes, is_face_model
from fomaug.faces.regions import Region, regions_around

_WHOLE: Final = 0.64  # of the picture; the rest of one that is cropped to its face is not worth a seam

Detector = Callable[[NDArray[np.uint8]], Sequence[Sequence[float]]]
"""(H, W, 3) uint8 RGB to face boxes (x0, y0, x1, y1) in pixels, none if there is no face."""


def check_finder(model: Animator, detector: Detector | None) -> None:
    """Raise `ArgumentError` if nothing is there that could look for faces."""
    if detector is None and not is_face_model(model):
        raise ArgumentError(
            f"model {model.name!r} does not know which points of a face its keypoints are, so it finds none; give a "
            "detector or face boxes, or animate whole frames"
        )


def find_regions(
    picture: NDArray[np.uint8], model: Animator, *, detector: Detector | None = None
) -> tuple[Region, ...]:
    """Find the faces of a picture, each with some room around it.

    Args:
        picture: (H, W, 3) uint8 RGB.
        model: that will animate them; looks for them itself where no detector is given.
        detector: finds face boxes in a picture.

    Returns:
        Regions, the surest first; none if there is no face. A single face that fills the picture is the whole of it.
    """
    size = picture.shape[0], picture.shape[1]
    regions = regions_around(face_boxes(picture, model, detector=detector), size)
    if len(regions) == 1 and math.prod(regions[0].size) > _WHOLE * math.prod(size):
        return (Region(0, 0, size[1], size[0]),)
    return regions
