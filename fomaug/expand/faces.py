"""Where the faces of a source are: the whole picture, annotated boxes, or what a detector finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fomaug.animator import Animator
from fomaug.errors import ArgumentError
from fomaug.expand.copies import Loaded
from fomaug.expand.plan import ExpandPlan
from fomaug.faces import Detector, Region, check_finder, find_regions, regions_around
from fomaug.labels import FaceLabels
from fomaug.media import Picture

Locate = Callable[[Loaded], Loaded]


def make_locator(
    plan: ExpandPlan, labels: Mapping[str, FaceLabels] | None, animator: Animator, detector: Detector | None
) -> Locate:
    """Make the function that marks the faces of a source.

    Args:
        plan: its `faces` and `on_missing`.
        labels: annotations by key, for `faces="boxes"`.
        animator: looks for faces where no detector is given.
        detector: (H, W, 3) uint8 RGB to face boxes (x0, y0, x1, y1) in pixels.

    Raises:
        ArgumentError: boxes are asked for, and there are no annotations; or nothing is there that could look for faces.
    """
    if plan.faces == "frame":
        return lambda loaded: loaded
    if plan.faces == "boxes" and labels is None:
        raise ArgumentError("faces='boxes' takes the boxes of annotations; give annotations, or use faces='detect'")
    if plan.faces == "detect":
        check_finder(animator, detector)

    def locate(loaded: Loaded) -> Loaded:
        assert loaded.picture is not None
        if plan.faces == "boxes":
            regions = _annotated(loaded, labels or {})
        else:
            regions = find_regions(_to_rgb(loaded.picture), animator, detector=detector)
        return replace(loaded, regions=regions) if regions else _without_face(loaded, plan.on_missing)

    return locate


def _annotated(loaded: Loaded, labels: Mapping[str, FaceLabels]) -> tuple[Region, ...]:
    assert loaded.picture is not None
    found = labels.get(loaded.job.source.key)
    if found is None or found.boxes is None:
        return ()
    seen = np.ones(len(found.boxes), bool) if found.box_visible is None else found.box_visible
    return regions_around(found.boxes[seen].tolist(), loaded.picture.size)


def _without_face(loaded: Loaded, on_missing: str) -> Loaded:
    if on_missing == "copy":
        return replace(loaded, still=True)
    return replace(loaded, picture=None, reason="has no face that can be used")


def _to_rgb(picture: Picture) -> NDArray[np.uint8]:
    pixels: NDArray[Any] = picture.pixels
    eight = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels.astype(np.uint8)
    return np.repeat(eight, 3, axis=2) if eight.shape[2] == 1 else eight
