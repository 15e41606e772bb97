"""`MotionAugment`: draw motion parameters from a driving pool, and apply them to images."""

from fomaug.augment.faces import Faces as Faces
from fomaug.augment.faces import animate_parts as animate_parts
from fomaug.augment.module import MotionAugment as MotionAugment
from fomaug.augment.render import apply as apply
from fomaug.imports import moved_names
from fomaug.motion import MotionResult as MotionResult
from fomaug.motion import counted_keys as counted_keys
from fomaug.options import OnMissing as OnMissing

__all__ = [
    "counted_keys",
    "MotionAugment",
    "Faces",
    "OnMissing",
    "animate_parts",
    "apply",
    "MotionResult",
]

__getattr__ = moved_names(__name__, dict.fromkeys(("DrawSettings", "MotionParams", "draw"), "fomaug.motion"))
