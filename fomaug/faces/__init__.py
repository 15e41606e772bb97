"""Faces in pictures: find them, cut them out with a margin, and put animated faces back without a seam."""

from fomaug.faces.canonical import KEYPOINT_POINTS as KEYPOINT_POINTS
from fomaug.faces.canonical import keypoint_frames as keypoint_frames
from fomaug.faces.canonical import mean_mesh as mean_mesh
from fomaug.faces.canonical import mesh_keypoints as mesh_keypoints
from fomaug.faces.canonical import mirror_order as mirror_order
from fomaug.faces.canonical import rotation as rotation
from fomaug.faces.finder import Boxes as Boxes
from fomaug.faces.finder import Detector as Detector
from fomaug.faces.finder import FaceTracker as FaceTracker
from fomaug.faces.finder import check_finder as check_finder
from fomaug.faces.finder import face_boxes as face_boxes
from fomaug.faces.finder import find_squares as find_squares
from fomaug.faces.finder import is_face_model as is_face_model
from fomaug.faces.pose import NECK as NECK
from fomaug.faces.pose import fit_mean_face as fit_mean_face
from fomaug.faces.pose import head_angles as head_angles
from fomaug.faces.pose import head_pose as head_pose
from fomaug.faces.pose import mean_face_angles as mean_face_angles
from fomaug.faces.pose import pose_of_points as pose_of_points
from fomaug.faces.pose import posed_face as posed_face
from fomaug.faces.pose import round_angles as round_angles
from fomaug.faces.search import FaceBox as FaceBox
from fomaug.faces.search import is_steady as is_steady
from fomaug.faces.search import overlap as overlap
from fomaug.faces.search import square_at as square_at
from fomaug.faces.search import window_keypoints as window_keypoints
from fomaug.faces.squares import FACE_SHARE as FACE_SHARE
from fomaug.faces.squares import MovedFace as MovedFace
from fomaug.faces.squares import Square as Square
from fomaug.faces.squares import compose_motion as compose_motion
from fomaug.faces.squares import face_square as face_square
from fomaug.faces.squares import face_squares as face_squares
from fomaug.faces.squares import fades as fades
from fomaug.faces.squares import flow_cells as flow_cells
from fomaug.faces.squares import put_back as put_back
from fomaug.faces.squares import whole_picture as whole_picture

__all__ = [
    "head_angles",
    "mean_face_angles",
    "KEYPOINT_POINTS",
    "keypoint_frames",
    "mean_mesh",
    "mesh_keypoints",
    "mirror_order",
    "rotation",
    "Boxes",
    "Detector",
    "FaceBox",
    "FaceTracker",
    "check_finder",
    "face_boxes",
    "find_squares",
    "is_face_model",
    "window_keypoints",
    "MovedFace",
    "compose_motion",
    "fades",
    "flow_cells",
    "put_back",
    "NECK",
    "fit_mean_face",
    "head_pose",
    "pose_of_points",
    "round_angles",
    "posed_face",
    "FACE_SHARE",
    "Square",
    "face_square",
    "face_squares",
    "overlap",
    "square_at",
    "whole_picture",
    "is_steady",
]
