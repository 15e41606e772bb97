"""Driving: clips read as streams, their motion kept as tracks, tracks gathered in pools."""

from fomaug.driving._boxes import face_boxes as face_boxes
from fomaug.driving._boxes import is_face_model as is_face_model
from fomaug.driving._build import read_track as read_track
from fomaug.driving._clips import Clip as Clip
from fomaug.driving._clips import DamagedClipWarning as DamagedClipWarning
from fomaug.driving._clips import find_clips as find_clips
from fomaug.driving._clips import is_clip as is_clip
from fomaug.driving._clips import read_clip as read_clip
from fomaug.driving._crop import face_crop as face_crop
from fomaug.driving._neutral import neutral_like as neutral_like
from fomaug.driving._parametric import EXPRESSIONS as EXPRESSIONS
from fomaug.driving._picture import to_rgb as to_rgb
from fomaug.driving._pool import DrivingPool as DrivingPool
from fomaug.driving._reference import closest_frame as closest_frame
from fomaug.driving._reference import pose_distance as pose_distance
from fomaug.driving._sound import Sound as Sound
from fomaug.driving._sound import clip_sound as clip_sound
from fomaug.driving._stills import folder_pictures as folder_pictures
from fomaug.driving._track import MotionTrack as MotionTrack

__all__ = [
    "Clip",
    "DamagedClipWarning",
    "find_clips",
    "is_clip",
    "read_clip",
    "read_track",
    "face_boxes",
    "face_crop",
    "is_face_model",
    "MotionTrack",
    "DrivingPool",
    "EXPRESSIONS",
    "neutral_like",
    "closest_frame",
    "pose_distance",
    "Sound",
    "clip_sound",
    "folder_pictures",
    "to_rgb",
]
