"""Labels: landmarks, boxes and masks, read from what datasets keep them in, moved with the picture, written again."""

from fomaug.labels import coco, csv, jsonl, masks, pts  # noqa: F401 (each registers its format)
from fomaug.labels.faces import face_boxes as face_boxes
from fomaug.labels.faces import fit as fit
from fomaug.labels.flaws import Flaw as Flaw
from fomaug.labels.flaws import OnFlaw as OnFlaw
from fomaug.labels.formats import FORMATS as FORMATS
from fomaug.labels.formats import Annotations as Annotations
from fomaug.labels.formats import Format as Format
from fomaug.labels.formats import find_format as find_format
from fomaug.labels.formats import read_annotations as read_annotations
from fomaug.labels.formats import register as register
from fomaug.labels.formats import write_annotations as write_annotations
from fomaug.labels.movement import Movement as Movement
from fomaug.labels.movement import move as move
from fomaug.labels.values import FaceLabels as FaceLabels

__all__ = [
    "FORMATS",
    "Annotations",
    "FaceLabels",
    "Flaw",
    "Format",
    "Movement",
    "OnFlaw",
    "face_boxes",
    "find_format",
    "fit",
    "move",
    "read_annotations",
    "register",
    "write_annotations",
]
