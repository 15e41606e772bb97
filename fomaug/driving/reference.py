"""Which frame of a clip shows the source's pose."""

from __future__ import annotations

import torch
from torch import Tensor

from fomaug.driving.track import MotionTrack
from fomaug.errors import ShapeError
from fomaug.geometry import normalise, shape_distance
from fomaug.types import Keypoints


def closest_frame(track: MotionTrack, source_keypoints: Keypoints) -> Tensor:
    """Choose the frame of a track whose pose is closest to each source's; the earliest of equals.

    It fails quietly when no frame of the clip has the source's pose: then the closest is still far, and the relative
    motion starts from the difference.

    Args:
        track: of T frames.
        source_keypoints: of B sources, from the track's model.

    Returns:
        (B,) int64 in [0, T), on the sources' device.
    """
    value = source_keypoints.value
    if value.shape[1:] != track.keypoints.value.shape[1:]:
        raise ShapeError(
            f"source_keypoints must be (B, {track.keypoints.value.shape[1]}, 2) like those of track {track.name!r}, "
            f"got {tuple(value.shape)}; both must come from one model"
        )
    return shape_distance(normalise(value.float()), track.poses.to(value.device, torch.float32)).argmin(1)
