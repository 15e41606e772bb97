"""Motion tracks: what is kept of a clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import torch
from torch import Tensor

from fomaug.errors import PoolError, shortened
from fomaug.geometry import normalise
from fomaug.types import Keypoints

# Tracks of strangers are held against what the built-in and parametric pools and real clips of several models reach.
_FARTHEST: Final = 10.0  # of a coordinate; they reach 1
_LARGEST: Final = 1000.0  # of an entry of a jacobian; they reach 2.8
_LEAST_EXTENT: Final = 1e-5  # of the points; a face's is 0.04 and more
_LEAST_AREA: Final = 1e-8  # determinant of a jacobian; those of far turned heads come near 0, down to 8e-5
_MOST_FPS: Final = 100_000  # high-speed cameras reach 25,000
_LARGEST_WEIGHT: Final = 10**9


@dataclass(frozen=True, eq=False)
class MotionTrack:
    """The keypoints of every frame of one clip; no pixels.

    Attributes:
        name: unique in its pool.
        keypoints: of T frames, float, in the frame of the clip's crop.
        fps: frames per second.
        label: what the motion shows, such as `smile`; None if nobody said.
        clip_hash: sha256 of the clip's bytes; empty for motion that was made without a clip.
        driver: whose motion it is, as far as known.
        weight: how often it is drawn, relative to the others.
        crop: (left, top, right, bottom) in the clip's pixels; None for the whole frame.
        facts: whatever else is worth knowing; no part of the hash.
    """

    name: str
    keypoints: Keypoints
    fps: float
    label: str | None = None
    clip_hash: str = ""
    driver: str = ""
    weight: float = 1.0
    crop: tuple[int, int, int, int] | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_track(self)

    def __len__(self) -> int:
        return len(self.keypoints)

    def __repr__(self) -> str:
        return f"MotionTrack({self.name!r}, {len(self)} frames, {self.fps:g} fps, label={self.label!r})"

    def to(self, device: torch.device | str) -> MotionTrack:
        """Move the keypoints."""
        return replace(self, keypoints=self.keypoints.to(device))

    @cached_property
    def poses(self) -> Tensor:
        """(T, K, 2): where the points lie in their frame's own centre and scale."""
        return normalise(self.keypoints.value)

    @property
    def motion_range(self) -> float:
        """How far the liveliest point wanders: the way between its extremes, in widths of the square."""
        value = self.keypoints.value
        return float((value.amax(0) - value.amin(0)).norm(dim=-1).max() / 2)


def _degenerate(value: Tensor, jacobian: Tensor | None) -> str | None:
    """Say what would make pictures without numbers of finite keypoints: motion is divided by areas and jacobians."""
    far = value.abs().amax((1, 2))
    if (frame := _first(far > _FARTHEST)) is not None:
        return f"keypoints must lie about [-1, 1], got {float(far[frame]):.3g} in frame {frame}"
    if (frame := _first(_extent(value) < _LEAST_EXTENT)) is not None:
        return f"the keypoints of frame {frame} span no area: they lie in one point or on one line"
    if jacobian is None:
        return None
    large = jacobian.abs().amax((1, 2, 3))
    if (frame := _first(large > _LARGEST)) is not None:
        return f"jacobians must be of size 1 or so, got {float(large[frame]):.3g} in frame {frame}"
    # In single precision, as they are inverted.
    area = jacobian[..., 0, 0] * jacobian[..., 1, 1] - jacobian[..., 0, 1] * jacobian[..., 1, 0]
    if (place := _first((area.abs() < _LEAST_AREA).flatten())) is not None:
        frame, point = divmod(place, jacobian.shape[1])
        return f"the jacobian of keypoint {point} in frame {frame} is singular"
    return None


def _first(wrong: Tensor) -> int | None:
    return int(wrong.int().argmax()) if bool(wrong.any()) else None


def _extent(value: Tensor) -> Tensor:
    """(T,) root of the determinant of the points' covariance: 0 where their hull has no area, and quicker than that."""
    points = value.cpu().double()  # single precision gives points on a line an area, and not every device has double
    x, y = (points - points.mean(1, keepdim=True)).unbind(-1)
    return (x.square().mean(1) * y.square().mean(1) - (x * y).mean(1).square()).clamp(min=0).sqrt()


def check_track(track: MotionTrack) -> None:
    """Raise `PoolError` unless the track can be drawn from."""
    value, jacobian = track.keypoints.value, track.keypoints.jacobian
    problem = None
    if value.ndim != 3 or value.shape[2] != 2 or not value.shape[0] or not value.shape[1]:
        problem = f"keypoints must be (T, K, 2) with at least one frame, got {tuple(value.shape)}"
    elif jacobian is not None and jacobian.shape != (*value.shape, 2):
        problem = f"jacobians must be {(*value.shape, 2)} like the keypoints, got {tuple(jacobian.shape)}"
    elif not all(bool(part.isfinite().all()) for part in (value, jacobian) if part is not None):
        problem = "keypoints must be finite"
    elif (degenerate := _degenerate(value, jacobian)) is not None:
        problem = degenerate
    elif not 0 < track.fps <= _MOST_FPS:
        problem = f"fps must be more than 0, got {shortened(track.fps)}; at most {_MOST_FPS} were expected"
    elif not 0 <= track.weight <= _LARGEST_WEIGHT:
        problem = f"weight must be 0 or more, got {shortened(track.weight)}; at most {_LARGEST_WEIGHT} was expected"
    elif not track.name:
        problem = "the name is empty"
    if problem:
        raise PoolError(f"track {track.name!r}: {problem}")
