"""Locate the faces of a source: by annotated boxes, by a detector, or by the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from fomaug.animator import Animator
from fomaug.errors import ArgumentError
from fomaug.expand.load import Loaded
from fomaug.expand.plan import ExpandPlan
from fomaug.faces import Detector, Square, check_finder, face_squares, find_squares
from fomaug.labels import FaceLabels

Locate = Callable[[Loaded], Loaded]


def make_locator(
    plan: ExpandPlan, labels: Mapping[str, FaceLabels] | None, animator: Animator, detector: Detector | None
) -> Locate:
    """Make the function that adds the squares of its faces to a source.

    Args:
        plan: plan with `faces` and `on_missing`.
        labels: annotations by key, for `faces="boxes"`.
        animator: model that finds faces if there is no detector.
        detector: function from (H, W, 3) uint8 RGB to face boxes (left, top, right, bottom) in pixels.

    Raises:
        ArgumentError: the plan needs annotations, a detector or a model of faces, and there is none.
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
            squares = _annotated(loaded, labels or {})
        else:
            squares = find_squares(loaded.picture.rgb, animator, detector=detector)
        return replace(loaded, regions=squares) if squares else _without_face(loaded, plan.on_missing)

    return locate


def _annotated(loaded: Loaded, labels: Mapping[str, FaceLabels]) -> tuple[Square, ...]:
    assert loaded.picture is not None
    found = labels.get(loaded.job.source.key)
    if found is None or found.boxes is None:
        return ()
    seen = np.ones(len(found.boxes), bool) if found.box_visible is None else found.box_visible
    return face_squares(found.boxes[seen].tolist(), loaded.picture.size)


def _without_face(loaded: Loaded, on_missing: str) -> Loaded:
    if on_missing == "copy":
        return replace(loaded, still=True)
    return replace(loaded, picture=None, reason="has no face that can be used")
