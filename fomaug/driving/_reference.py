"""Which frame of a clip shows the source's pose."""

from __future__ import annotations

import torch
from torch import Tensor

from fomaug._errors import ShapeError
from fomaug._types import Keypoints
from fomaug.driving._track import MotionTrack, normalise


def pose_distance(source: Tensor, frames: Tensor) -> Tensor:
    """Compare poses, whatever the place and the size of the faces.

    Both point sets are centred and divided by the root of their hull's area, as the public first-order-motion demo does
    for its best frame. Turned heads of different people differ in shape, too, so small distances are not comparable
    between people.

    Args:
        source: (B, K, 2) points.
        frames: (T, K, 2) points.

    Returns:
        (B, T) root of the summed squared differences, 0 for equal poses.

    >>> pose_distance(torch.rand(2, 10, 2), torch.rand(5, 10, 2)).shape
    torch.Size([2, 5])
    """
    return _distance(normalise(source), normalise(frames))


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
    return _distance(normalise(value.float()), track.poses.to(value.device, torch.float32)).argmin(1)


def _distance(source: Tensor, frames: Tensor) -> Tensor:
    # The fast way by matrix product loses the digits that tell neighbouring frames apart.
    return torch.cdist(source.flatten(1), frames.flatten(1), compute_mode="donot_use_mm_for_euclid_dist")
