"""Draw motion parameters from a driving pool, then apply them to images.

`draw` and `apply` are pure functions; `MotionAugment` is both as one torch module.
"""

from fomaug.augment._apply import apply as apply
from fomaug.augment._count import counted_keys as counted_keys
from fomaug.augment._draw import draw as draw
from fomaug.augment._module import MotionAugment as MotionAugment
from fomaug.augment._params import MotionParams as MotionParams
from fomaug.augment._place import Faces as Faces
from fomaug.augment._place import OnMissing as OnMissing
from fomaug.augment._result import MotionResult as MotionResult
from fomaug.augment._settings import DrawSettings as DrawSettings

__all__ = [
    "DrawSettings",
    "Faces",
    "MotionAugment",
    "MotionParams",
    "MotionResult",
    "OnMissing",
    "apply",
    "counted_keys",
    "draw",
]
