"""A neutral reference for a single driving picture, which separates its pose and expression from the person's shape."""

from __future__ import annotations

import torch

from fomaug.animator import Animator
from fomaug.faces import head_pose, is_face_model, posed_face
from fomaug.geometry import hull_area
from fomaug.types import Keypoints


def neutral_like(source: Keypoints, driving: Keypoints, model: Animator) -> Keypoints:
    """Make the reference keypoints for a driving picture that is no frame of a clip.

    For models whose keypoints are face points, the reference is the mean face without expression, rotated like the
    source's head: relative transfer then gives the source the driving picture's pose and expression, and the source
    keeps its own shape. An unusual shape of the driving face cannot be distinguished from an expression and is
    transferred as well. For other models the reference is the source itself: relative transfer then copies the driving
    picture's pose together with the shape of its face. Both references have the position and the size of the driving
    face, so that the source keeps its own.

    Args:
        source: keypoints of one picture.
        driving: keypoints of one picture.
        model: model that found both.

    Returns:
        Keypoints of one frame.
    """
    own = source.to("cpu", torch.float32)
    if not is_face_model(model):
        return _lay(own, driving)
    mean = posed_face(head_pose(own, model))
    return _lay(mean if driving.jacobian is not None else Keypoints(mean.value), driving)


def _lay(points: Keypoints, driving: Keypoints) -> Keypoints:
    """Move and scale a face to the position and the size of another."""
    other = driving.to("cpu", torch.float32)
    scale = (hull_area(other.value) / hull_area(points.value).clamp(min=1e-12)).sqrt()[:, None, None]
    value = (points.value - points.value.mean(1, keepdim=True)) * scale + other.value.mean(1, keepdim=True)
    jacobian = None if points.jacobian is None else points.jacobian * scale[..., None]
    return Keypoints(value, jacobian)
