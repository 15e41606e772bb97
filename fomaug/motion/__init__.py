"""Motion parameters: drawn from a driving pool, and fitted to the face that is to move."""

from fomaug.motion.draw import Key as Key
from fomaug.motion.draw import draw as draw
from fomaug.motion.fit import Fitted as Fitted
from fomaug.motion.fit import fit as fit
from fomaug.motion.options import DrawSettings as DrawSettings
from fomaug.motion.options import Interval as Interval
from fomaug.motion.options import Region as Region
from fomaug.motion.options import Selection as Selection
from fomaug.motion.options import check_flag as check_flag
from fomaug.motion.options import check_interval as check_interval
from fomaug.motion.options import check_sizes as check_sizes
from fomaug.motion.params import Box as Box
from fomaug.motion.params import MotionParams as MotionParams
from fomaug.motion.params import MotionResult as MotionResult

__all__ = [
    "Key",
    "draw",
    "Fitted",
    "fit",
    "DrawSettings",
    "Interval",
    "Region",
    "Selection",
    "check_flag",
    "check_interval",
    "check_sizes",
    "Box",
    "MotionParams",
    "MotionResult",
]
