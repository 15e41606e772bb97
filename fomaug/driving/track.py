"""Motion tracks: the keypoints of clips, with checks of single tracks and of whole pools."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import torch
from torch import Tensor

from fomaug.errors import PoolError, ShapeError, shortened
from fomaug.geometry import normalise, shape_distance
from fomaug.types import Keypoints

# Limits for tracks from unknown files; the comments give the values of real clips of several models.
_FARTHEST: Final = 10.0  # largest absolute coordinate; real tracks reach 1
_LARGEST: Final = 1000.0  # largest absolute entry of a jacobian; real tracks reach 2.8
_LEAST_EXTENT: Final = 1e-5  # least extent of the points, see `_extent`; faces have 0.04 or more
_LEAST_AREA: Final = 1e-8  # least absolute determinant of a jacobian; heads turned far aside have 8e-5 or more
_MOST_FPS: Final = 100_000  # largest frame rate; high-speed cameras reach 25,000
_LARGEST_WEIGHT: Final = 10**9


@dataclass(frozen=True, eq=False)
class MotionTrack:
    """The keypoints of every frame of one clip, without pixels.

    Attributes:
        name: name of the track, unique in its pool.
        keypoints: keypoints of T frames, float, in the frame of the clip's crop.
        fps: frames per second.
        label: name of the motion, such as `smile`; None if it is unknown.
        clip_hash: sha256 of the clip's bytes; empty for motion that was made without a clip.
        driver: name of the moving person; empty if unknown.
        weight: frequency of its draws, relative to the other tracks.
        crop: (left, top, right, bottom) in the clip's pixels; None for the whole frame.
        facts: further information in words, which the hash excludes.
        angles: (yaw, pitch, roll) in degrees of each frame of a track of views; None for motion.
        expression: name of the expression of a track of views; empty for motion.
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
    angles: tuple[tuple[float, float, float], ...] | None = None
    expression: str = ""

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
        """The points (T, K, 2) without the position and the size of the face, see `normalise`."""
        return normalise(self.keypoints.value)

    @property
    def motion_range(self) -> float:
        """The largest distance between the extremes of a point, in widths of the square."""
        value = self.keypoints.value
        return float((value.amax(0) - value.amin(0)).norm(dim=-1).max() / 2)


def _degenerate(value: Tensor, jacobian: Tensor | None) -> str | None:
    """Describe a flaw that would cause a division by zero: motion is divided by areas and jacobians."""
    far = value.abs().amax((1, 2))
    if (frame := _first(far > _FARTHEST)) is not None:
        return f"keypoints must be within about [-1, 1], got {float(far[frame]):.3g} in frame {frame}"
    if (frame := _first(_extent(value) < _LEAST_EXTENT)) is not None:
        return f"the keypoints of frame {frame} span no area: all are at one point or on one line"
    if jacobian is None:
        return None
    large = jacobian.abs().amax((1, 2, 3))
    if (frame := _first(large > _LARGEST)) is not None:
        return f"entries of jacobians must be within about [-3, 3], got {float(large[frame]):.3g} in frame {frame}"
    # The determinant is computed in single precision, like the inverse later.
    area = jacobian[..., 0, 0] * jacobian[..., 1, 1] - jacobian[..., 0, 1] * jacobian[..., 1, 0]
    if (index := _first((area.abs() < _LEAST_AREA).flatten())) is not None:
        frame, point = divmod(index, jacobian.shape[1])
        return f"the jacobian of keypoint {point} in frame {frame} is singular"
    return None


def _first(wrong: Tensor) -> int | None:
    return int(wrong.int().argmax()) if bool(wrong.any()) else None


def _extent(value: Tensor) -> Tensor:
    """Return (T,) roots of the determinants of the points' covariance, which are 0 if the hull has no area."""
    # In single precision, points on a line get an area; not every device has double precision.
    points = value.cpu().double()
    x, y = (points - points.mean(1, keepdim=True)).unbind(-1)
    return (x.square().mean(1) * y.square().mean(1) - (x * y).mean(1).square()).clamp(min=0).sqrt()


def check_track(track: MotionTrack) -> None:
    """Raise `PoolError` unless the track is valid."""
    value, jacobian = track.keypoints.value, track.keypoints.jacobian
    problem = None
    if value.ndim != 3 or value.shape[2] != 2 or not value.shape[0] or not value.shape[1]:
        problem = f"keypoints must be (T, K, 2) with T and K of at least 1, got {tuple(value.shape)}"
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
    elif track.angles is not None:
        problem = _wrong_angles(track.angles, len(value))
    if problem:
        raise PoolError(f"track {track.name!r}: {problem}")


def _wrong_angles(angles: Sequence[Sequence[float]], frames: int) -> str | None:
    if len(angles) != frames or not all(len(view) == 3 and all(abs(angle) < 90 for angle in view) for view in angles):
        return f"views must be yaw, pitch and roll between -90 and 90 degrees for each of {frames} frames"
    return None


def contents_hash(tracks: Sequence[MotionTrack], model_hash: str) -> str:
    """Hash the model's hash and every track without its crop and facts, by sha256.

    Numbers are hashed as little-endian float32, so that the hash is the same on every machine and device. Every draw
    depends on this hash: a change of it changes the datasets of all users.
    """
    digest = hashlib.sha256(f"fomaug pool 1\n{model_hash}\n".encode("utf-8", "surrogatepass"))
    for track in tracks:
        words: list[Any] = [track.name, track.label, float(track.fps), track.clip_hash, track.driver]
        words.append(float(track.weight))
        if track.angles is not None:
            words += [track.expression, [list(map(float, view)) for view in track.angles]]
        digest.update(json.dumps(words, ensure_ascii=True).encode())
        for part in (track.keypoints.value, track.keypoints.jacobian):
            digest.update(b"none" if part is None else f"{tuple(part.shape)}".encode())
            if part is not None:
                digest.update(part.detach().to("cpu", torch.float32).contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def check_together(tracks: Sequence[MotionTrack]) -> None:
    """Raise `PoolError` unless the tracks form a valid pool."""
    if not tracks:
        raise PoolError("a driving pool needs at least one track, got none")
    if twice := [name for name, count in Counter(track.name for track in tracks).items() if count > 1]:
        raise PoolError(f"track names must be unique, got {first_names(twice)} more than once")
    for track in tracks:
        if _kind(track.keypoints) != _kind(tracks[0].keypoints):
            raise PoolError(
                f"tracks {tracks[0].name!r} and {track.name!r} have different numbers of keypoints, or only one of "
                "them has jacobians; make both with one model"
            )
    if not any(track.weight for track in tracks):
        raise PoolError("the weights of all tracks are 0; at least one must be positive")


def first_names(names: Sequence[str], count: int = 8) -> str:
    """List the first names, and count the others.

    >>> first_names(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


def _kind(keypoints: Keypoints) -> tuple[int, bool]:
    return keypoints.value.shape[1], keypoints.jacobian is not None


def closest_frame(track: MotionTrack, source_keypoints: Keypoints) -> Tensor:
    """Choose the frame of a track whose pose is closest to each source's; of equal frames, the earliest.

    If no frame of the clip has the source's pose, the closest one is still far from it, and the result includes the
    difference of the two poses; there is no error.

    Args:
        track: motion track of T frames.
        source_keypoints: keypoints of B sources, from the track's model.

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
