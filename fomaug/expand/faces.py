"""Where the faces of a source are: the whole picture, annotated boxes, or what a detector finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fomaug.animator import Animator
from fomaug.errors import ArgumentError
from fomaug.expand.copies import Loaded
from fomaug.expand.plan import ExpandPlan
from fomaug.faces import Detector, Region, check_finder, find_regions, regions_around
from fomaug.labels import face_boxes
from fomaug.media import Picture

Locate = Callable[[Loaded], Loaded]


def make_locator(plan: ExpandPlan, animator: Animator, detector: Detector | None, *, annotated: bool = False) -> Locate:
    """Make the function that marks the faces of a source.

    Args:
        plan: its `faces` and `on_missing`.
        animator: looks for faces where no detector is given.
        detector: (H, W, 3) uint8 RGB to face boxes (x0, y0, x1, y1) in pixels.
        annotated: whether sources come with labels, for `faces="boxes"`.

    Raises:
        ArgumentError: boxes are asked for, and there are no annotations; or nothing is there that could look for faces.
    """
    if plan.faces == "frame":
        return lambda loaded: loaded
    if plan.faces == "boxes" and not annotated:
        raise ArgumentError("faces='boxes' takes the boxes of annotations; give annotations, or use faces='detect'")
    if plan.faces == "detect":
        check_finder(animator, detector)

    def locate(loaded: Loaded) -> Loaded:
        assert loaded.picture is not None
        if plan.faces == "boxes":
            regions = _annotated(loaded)
        else:
            regions = find_regions(_to_rgb(loaded.picture), animator, detector=detector)
        return replace(loaded, regions=regions) if regions else _without_face(loaded, plan.on_missing)

    return locate


def _annotated(loaded: Loaded) -> tuple[Region, ...]:
    assert loaded.picture is not None
    if loaded.labels is None:
        return ()
    return regions_around(face_boxes(loaded.labels).tolist(), loaded.picture.size)


def _without_face(loaded: Loaded, on_missing: str) -> Loaded:
    if on_missing == "copy":
        return replace(loaded, still=True)
    return replace(loaded, picture=None, reason="has no face that can be used")


def _to_rgb(picture: Picture) -> NDArray[np.uint8]:
    pixels: NDArray[Any] = picture.pixels
    eight = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels.astype(np.uint8)
    return np.repeat(eight, 3, axis=2) if eight.shape[2] == 1 else eight
