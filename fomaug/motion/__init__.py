"""Motion parameters: draw them from a driving pool, and fit them to the face of a source."""

from fomaug.motion.draw import counted_keys as counted_keys
from fomaug.motion.draw import draw as draw
from fomaug.motion.draw import plain_keys as plain_keys
from fomaug.motion.fit import begin_fit as begin_fit
from fomaug.motion.fit import fit as fit
from fomaug.motion.numbers import DRAWS as DRAWS
from fomaug.motion.numbers import Key as Key
from fomaug.motion.params import Box as Box
from fomaug.motion.params import MotionParams as MotionParams
from fomaug.motion.params import MotionResult as MotionResult
from fomaug.motion.params import PendingResult as PendingResult
from fomaug.motion.targets import Fitted as Fitted
from fomaug.motion.targets import Fitting as Fitting
from fomaug.motion.view import Angles as Angles
from fomaug.motion.view import View as View
from fomaug.motion.view import mirrored_angles as mirrored_angles
from fomaug.options import DrawSettings as DrawSettings
from fomaug.options import Interval as Interval
from fomaug.options import Region as Region
from fomaug.options import Selection as Selection

__all__ = [
    "DRAWS",
    "Key",
    "counted_keys",
    "draw",
    "plain_keys",
    "Fitted",
    "Fitting",
    "begin_fit",
    "fit",
    "DrawSettings",
    "Interval",
    "Region",
    "Selection",
    "Angles",
    "Box",
    "MotionParams",
    "MotionResult",
    "PendingResult",
    "View",
    "mirrored_angles",
]
