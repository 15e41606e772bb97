"""Labels: landmarks, boxes, masks and segmentations are read from a dataset, moved with their picture, and written."""

from fomaug.labels import coco, folders, tables  # noqa: F401 (importing a format registers it)
from fomaug.labels.checks import Flaw as Flaw
from fomaug.labels.checks import OnFlaw as OnFlaw
from fomaug.labels.coco import read_categories as read_categories
from fomaug.labels.faces import FaceLabels as FaceLabels
from fomaug.labels.faces import SingleFace as SingleFace
from fomaug.labels.faces import face_boxes as face_boxes
from fomaug.labels.faces import fit as fit
from fomaug.labels.faces import point_counts as point_counts
from fomaug.labels.faces import single_faces as single_faces
from fomaug.labels.formats import CSV_FILES as CSV_FILES
from fomaug.labels.formats import FORMATS as FORMATS
from fomaug.labels.formats import JSON_FILES as JSON_FILES
from fomaug.labels.formats import Annotations as Annotations
from fomaug.labels.formats import Format as Format
from fomaug.labels.formats import find_format as find_format
from fomaug.labels.formats import list_annotations as list_annotations
from fomaug.labels.formats import load_labels as load_labels
from fomaug.labels.formats import read_annotations as read_annotations
from fomaug.labels.formats import register as register
from fomaug.labels.formats import write_annotations as write_annotations
from fomaug.labels.movement import Movement as Movement
from fomaug.labels.movement import move as move
from fomaug.labels.plain import from_plain as from_plain
from fomaug.labels.plain import read_plain as read_plain
from fomaug.labels.plain import to_plain as to_plain
from fomaug.labels.schemes import FIVE_NAMES as FIVE_NAMES
from fomaug.labels.schemes import Scheme as Scheme
from fomaug.labels.schemes import find_scheme as find_scheme
from fomaug.labels.schemes import five_points as five_points
from fomaug.labels.schemes import mirror_points as mirror_points
from fomaug.labels.schemes import scheme_names as scheme_names

__all__ = [
    "CSV_FILES",
    "FIVE_NAMES",
    "FORMATS",
    "JSON_FILES",
    "Annotations",
    "FaceLabels",
    "Flaw",
    "Format",
    "Movement",
    "OnFlaw",
    "Scheme",
    "SingleFace",
    "face_boxes",
    "find_format",
    "find_scheme",
    "fit",
    "from_plain",
    "point_counts",
    "five_points",
    "list_annotations",
    "load_labels",
    "mirror_points",
    "move",
    "read_annotations",
    "read_categories",
    "read_plain",
    "register",
    "scheme_names",
    "single_faces",
    "to_plain",
    "write_annotations",
]
