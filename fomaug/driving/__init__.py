"""Driving: motion tracks of clips, and pools of tracks."""

from fomaug.driving.build import read_track as read_track
from fomaug.driving.build import watch_track as watch_track
from fomaug.driving.crop import face_crop as face_crop
from fomaug.driving.pool import DrivingPool as DrivingPool
from fomaug.driving.spec import NAMED_POOLS as NAMED_POOLS
from fomaug.driving.spec import is_named_pool as is_named_pool
from fomaug.driving.spec import load_pool as load_pool
from fomaug.driving.synthetic import EXPRESSIONS as EXPRESSIONS
from fomaug.driving.synthetic import mirrored_expression as mirrored_expression
from fomaug.driving.synthetic import mirrored_fields as mirrored_fields
from fomaug.driving.synthetic import neutral_like as neutral_like
from fomaug.driving.synthetic import pose_sample as pose_sample
from fomaug.driving.synthetic import poses_of as poses_of
from fomaug.driving.synthetic import views_like as views_like
from fomaug.driving.synthetic import views_of as views_of
from fomaug.driving.track import MotionTrack as MotionTrack
from fomaug.driving.track import closest_frame as closest_frame
from fomaug.geometry import pose_distance as pose_distance
from fomaug.imports import moved_names

__all__ = [
    "read_track",
    "watch_track",
    "face_crop",
    "DrivingPool",
    "closest_frame",
    "pose_distance",
    "EXPRESSIONS",
    "mirrored_expression",
    "mirrored_fields",
    "neutral_like",
    "MotionTrack",
    "NAMED_POOLS",
    "is_named_pool",
    "load_pool",
    "views_like",
    "views_of",
    "pose_sample",
    "poses_of",
]

_MEDIA = (
    "Clip",
    "DamagedClipWarning",
    "Sound",
    "clip_sound",
    "find_clips",
    "folder_pictures",
    "is_clip",
    "read_clip",
    "to_rgb",
)
_FACES = ("face_boxes", "is_face_model")

__getattr__ = moved_names(__name__, dict.fromkeys(_MEDIA, "fomaug.media") | dict.fromkeys(_FACES, "fomaug.faces"))
