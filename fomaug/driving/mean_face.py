"""Pools that are made from the mean face, without clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from typing_extensions import Self

from fomaug.animator import Animator
from fomaug.driving.synthetic import (
    DEFAULT_EXPRESSIONS,
    PITCHES,
    ROLLS,
    YAWS,
    Range,
    check_face_model,
    gesture_tracks,
    parametric_tracks,
    view_tracks,
)
from fomaug.driving.track import MotionTrack


class MeanFacePools:
    """Class methods of `DrivingPool` that make pools from the mean face."""

    def __init__(self, tracks: Iterable[MotionTrack], model_name: str, model_hash: str) -> None:
        raise NotImplementedError

    @classmethod
    def gestures(cls, model: Animator) -> Self:
        """Make the named motions of a mean face, such as nod, shake, turn, smile and talk, without clips.

        Raises:
            PoolError: the keypoints of the model are not known points of the face.
        """
        check_face_model(model)
        return cls(gesture_tracks(), model.name, model.hash)

    @classmethod
    def parametric(
        cls,
        model: Animator,
        *,
        yaw_range: Range = (-35.0, 35.0),
        pitch_range: Range = (-20.0, 20.0),
        roll_range: Range = (-15.0, 15.0),
        expressions: Sequence[str] = DEFAULT_EXPRESSIONS,
        count: int = 240,
        seed: int = 0,
    ) -> Self:
        """Rotate and deform a mean face without clips; every frame has its own pose and expression.

        Args:
            model: model whose keypoints are known points of the face.
            yaw_range: interval of the yaw in degrees; positive is the person's own right.
            pitch_range: interval of the pitch in degrees; positive is down.
            roll_range: interval of the roll in degrees; positive is clockwise for the viewer.
            expressions: names of the expressions, one track for each; see `fomaug.driving.EXPRESSIONS`.
            count: number of poses of all tracks together.
            seed: seed of the poses.

        Raises:
            PoolError: the keypoints of the model are not known points of the face.
        """
        check_face_model(model)
        tracks = parametric_tracks(
            yaw_range=yaw_range,
            pitch_range=pitch_range,
            roll_range=roll_range,
            expressions=expressions,
            count=count,
            seed=seed,
        )
        return cls(tracks, model.name, model.hash)

    @classmethod
    def views(
        cls,
        model: Animator,
        *,
        yaw: Sequence[float] = YAWS,
        pitch: Sequence[float] = PITCHES,
        roll: Sequence[float] = ROLLS,
        expressions: Sequence[str] = DEFAULT_EXPRESSIONS,
    ) -> Self:
        """Make views: target head poses of copies, one for each combination of the angles.

        A copy has the target pose whatever the pose of its source; `strength_range` scales only the expressions. A view
        of a side that the source hides is replaced, see `fomaug.motion.View`.

        Args:
            model: model whose keypoints are known points of the face.
            yaw: angles in degrees, from -70 to 70; positive turns the face to the viewer's left.
            pitch: angles in degrees, from -45 to 45; positive is down.
            roll: angles in degrees, from -60 to 60; positive is clockwise for the viewer.
            expressions: names of the expressions, one track for each; see `fomaug.driving.EXPRESSIONS`.

        Raises:
            ArgumentError: an angle is too wide, or an expression is unknown.
            PoolError: the keypoints of the model are not known points of the face.
        """
        check_face_model(model)
        tracks = view_tracks(yaw=yaw, pitch=pitch, roll=roll, expressions=expressions)
        return cls(tracks, model.name, model.hash)
