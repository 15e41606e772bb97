"""Locate the faces of a source: by annotated boxes, by a detector, or by the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fomaug.animator import Animator
from fomaug.errors import ArgumentError
from fomaug.expand.copies import Loaded
from fomaug.expand.plan import ExpandPlan
from fomaug.faces import Detector, Square, check_finder, face_squares, find_squares
from fomaug.labels import face_boxes

Locate = Callable[[Loaded], Loaded]


def make_locator(plan: ExpandPlan, animator: Animator, detector: Detector | None, *, annotated: bool = False) -> Locate:
    """Make the function that adds the squares of its faces to a source.

    Args:
        plan: plan with `faces` and `on_missing`.
        animator: model that finds faces if there is no detector.
        detector: function from (H, W, 3) uint8 RGB to face boxes (left, top, right, bottom) in pixels.
        annotated: whether sources come with labels, for `faces="boxes"`.

    Raises:
        ArgumentError: the plan needs annotations, a detector or a model of faces, and there is none.
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
            squares = _annotated(loaded)
        else:
            squares = find_squares(loaded.picture.rgb, animator, detector=detector)
        return replace(loaded, squares=squares) if squares else _without_face(loaded, plan.on_missing)

    return locate


def _annotated(loaded: Loaded) -> tuple[Square, ...]:
    assert loaded.picture is not None
    if loaded.labels is None:
        return ()
    return face_squares(face_boxes(loaded.labels).tolist(), loaded.picture.size)


def _without_face(loaded: Loaded, on_missing: str) -> Loaded:
    if on_missing == "copy":
        return replace(loaded, still=True)
    return replace(loaded, picture=None, reason="has no face that can be used")
