"""Faces in pictures: found, cut out with some room around them, and blended back without a seam."""

from fomaug.faces.canonical import KEYPOINT_POINTS as KEYPOINT_POINTS
from fomaug.faces.canonical import mean_mesh as mean_mesh
from fomaug.faces.canonical import mesh_keypoints as mesh_keypoints
from fomaug.faces.canonical import mirror_order as mirror_order
from fomaug.faces.canonical import rotation as rotation
from fomaug.faces.finder import Boxes as Boxes
from fomaug.faces.finder import Detector as Detector
from fomaug.faces.finder import face_boxes as face_boxes
from fomaug.faces.finder import is_face_model as is_face_model
from fomaug.faces.locate import check_finder as check_finder
from fomaug.faces.locate import find_regions as find_regions
from fomaug.faces.paste import FaceMotion as FaceMotion
from fomaug.faces.paste import blend as blend
from fomaug.faces.paste import compose_motion as compose_motion
from fomaug.faces.paste import fades as fades
from fomaug.faces.paste import paste as paste
from fomaug.faces.regions import Region as Region
from fomaug.faces.regions import region_around as region_around
from fomaug.faces.regions import regions_around as regions_around
from fomaug.faces.seek import FaceBox as FaceBox
from fomaug.faces.seek import FaceSeeker as FaceSeeker
from fomaug.faces.square import FACE_SHARE as FACE_SHARE
from fomaug.faces.square import Box as Box
from fomaug.faces.square import batches as batches
from fomaug.faces.square import cut as cut
from fomaug.faces.square import square_at as square_at
from fomaug.faces.square import to_batch as to_batch
from fomaug.faces.steady import is_steady as is_steady

__all__ = [
    "KEYPOINT_POINTS",
    "mean_mesh",
    "mesh_keypoints",
    "mirror_order",
    "rotation",
    "Boxes",
    "Detector",
    "face_boxes",
    "is_face_model",
    "check_finder",
    "find_regions",
    "FaceMotion",
    "blend",
    "compose_motion",
    "fades",
    "paste",
    "Region",
    "region_around",
    "regions_around",
    "FaceBox",
    "FaceSeeker",
    "FACE_SHARE",
    "Box",
    "batches",
    "cut",
    "square_at",
    "to_batch",
    "is_steady",
]
