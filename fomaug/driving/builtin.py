"""Motion that needs no clips."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from fomaug.animator import Animator
from fomaug.driving.synthetic import FaceTrack, gesture_tracks, parametric_tracks
from fomaug.driving.track import MotionTrack
from fomaug.errors import PoolError
from fomaug.faces import is_face_model

EMBEDDED: Final = "lite-256"


def shipped_pool(model: Animator) -> Path | None:
    """Find the pool file of the embedded model; None while it has none.

    Raises:
        PoolError: for other models.
    """
    if model.name != EMBEDDED:
        raise PoolError(
            f"the built-in pool belongs to {EMBEDDED}, and the keypoints of {model.name!r} are others; build "
            f"a pool from clips with `fomaug pool build CLIPS -o POOL --model {model.name}`"
            + (" or make one with DrivingPool.parametric(model)" if is_face_model(model) else "")
        )
    path = Path(str(files("fomaug") / "assets" / f"{EMBEDDED}.pool.safetensors"))
    return path if path.is_file() else None


def parametric(model: Animator, **ranges: Any) -> list[MotionTrack]:
    """Make the tracks of `DrivingPool.parametric`."""
    _check_face(model)
    return [_track(face) for face in parametric_tracks(**ranges)]


def gestures(model: Animator) -> list[MotionTrack]:
    """Make the tracks of `DrivingPool.gestures`."""
    _check_face(model)
    return [_track(face) for face in gesture_tracks()]


def _track(face: FaceTrack) -> MotionTrack:
    return MotionTrack(face.name, face.keypoints, face.fps, face.label, driver="mean face")


def _check_face(model: Animator) -> None:
    if not is_face_model(model):
        raise PoolError(
            f"motion without clips needs keypoints that are known points of the face; those of {model.name!r} have "
            "no names. Build a pool from clips with DrivingPool.from_clips(clips, model)"
        )
