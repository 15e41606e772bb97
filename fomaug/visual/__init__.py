"""Draw keypoints, flow and occlusion over pictures, put pictures side by side, and animate whole clips.

All but `animate_clip`, `animate_pairs` and their options are pure functions of NumPy arrays.
Names are imported on first use, so that `fomaug animate --help` does not wait for torch.
"""

from typing import TYPE_CHECKING

from fomaug.imports import names_on_demand

if TYPE_CHECKING:
    from fomaug.media import contact_sheet as contact_sheet
    from fomaug.visual.animate import AnimateWarning as AnimateWarning
    from fomaug.visual.animate import animate_clip as animate_clip
    from fomaug.visual.drawing import draw_flow as draw_flow
    from fomaug.visual.drawing import draw_keypoints as draw_keypoints
    from fomaug.visual.drawing import draw_occlusion as draw_occlusion
    from fomaug.visual.drawing import keypoint_pixels as keypoint_pixels
    from fomaug.visual.drawing import side_by_side as side_by_side
    from fomaug.visual.options import AnimateOptions as AnimateOptions
    from fomaug.visual.options import Pair as Pair
    from fomaug.visual.options import parse_face as parse_face
    from fomaug.visual.options import read_pairs as read_pairs
    from fomaug.visual.pairs import AnimateReport as AnimateReport
    from fomaug.visual.pairs import FailedPair as FailedPair
    from fomaug.visual.pairs import animate_pairs as animate_pairs

__all__ = [
    "side_by_side",
    "contact_sheet",
    "draw_keypoints",
    "draw_flow",
    "draw_occlusion",
    "keypoint_pixels",
    "AnimateOptions",
    "AnimateWarning",
    "animate_clip",
    "parse_face",
    "Pair",
    "read_pairs",
    "animate_pairs",
    "AnimateReport",
    "FailedPair",
]

__getattr__ = names_on_demand(
    __name__,
    {
        "contact_sheet": "fomaug.media",
        "AnimateWarning": "fomaug.visual.animate",
        "animate_clip": "fomaug.visual.animate",
        "draw_flow": "fomaug.visual.drawing",
        "draw_keypoints": "fomaug.visual.drawing",
        "draw_occlusion": "fomaug.visual.drawing",
        "keypoint_pixels": "fomaug.visual.drawing",
        "side_by_side": "fomaug.visual.drawing",
        "AnimateOptions": "fomaug.visual.options",
        "parse_face": "fomaug.visual.options",
        "Pair": "fomaug.visual.options",
        "read_pairs": "fomaug.visual.options",
        "AnimateReport": "fomaug.visual.pairs",
        "FailedPair": "fomaug.visual.pairs",
        "animate_pairs": "fomaug.visual.pairs",
    },
)
