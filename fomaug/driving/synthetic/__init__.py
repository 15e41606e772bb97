"""Make synthetic motion without clips: rotate and deform the canonical face."""

from fomaug.driving.synthetic.expressions import DEFAULT_EXPRESSIONS as DEFAULT_EXPRESSIONS
from fomaug.driving.synthetic.expressions import EXPRESSIONS as EXPRESSIONS
from fomaug.driving.synthetic.expressions import expression_fields as expression_fields
from fomaug.driving.synthetic.expressions import mirrored_expression as mirrored_expression
from fomaug.driving.synthetic.expressions import mirrored_fields as mirrored_fields
from fomaug.driving.synthetic.expressions import neutral_like as neutral_like
from fomaug.driving.synthetic.tracks import Range as Range
from fomaug.driving.synthetic.tracks import check_face_model as check_face_model
from fomaug.driving.synthetic.tracks import gesture_tracks as gesture_tracks
from fomaug.driving.synthetic.tracks import parametric_tracks as parametric_tracks
from fomaug.driving.synthetic.views import PITCHES as PITCHES
from fomaug.driving.synthetic.views import ROLLS as ROLLS
from fomaug.driving.synthetic.views import YAWS as YAWS
from fomaug.driving.synthetic.views import expression_offset as expression_offset
from fomaug.driving.synthetic.views import pose_sample as pose_sample
from fomaug.driving.synthetic.views import poses_of as poses_of
from fomaug.driving.synthetic.views import view_tracks as view_tracks
from fomaug.driving.synthetic.views import views_like as views_like
from fomaug.driving.synthetic.views import views_of as views_of

__all__ = [
    "expression_fields",
    "gesture_tracks",
    "neutral_like",
    "EXPRESSIONS",
    "Range",
    "check_face_model",
    "mirrored_expression",
    "mirrored_fields",
    "parametric_tracks",
    "DEFAULT_EXPRESSIONS",
    "PITCHES",
    "ROLLS",
    "YAWS",
    "expression_offset",
    "view_tracks",
    "views_like",
    "views_of",
    "pose_sample",
    "poses_of",
]
