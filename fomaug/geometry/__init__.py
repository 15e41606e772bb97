"""Geometry: grids, warps, poses and motion transfer, as pure functions of batched tensors on any device.

The inverse of a flow, eyes and thin-plate splines are imported from their own files.
"""

from fomaug.geometry.frame import Frame as Frame
from fomaug.geometry.plane import coarsen_flow as coarsen_flow
from fomaug.geometry.plane import gaussian_heatmap as gaussian_heatmap
from fomaug.geometry.plane import identity_grid as identity_grid
from fomaug.geometry.plane import inverse_2x2 as inverse_2x2
from fomaug.geometry.plane import is_mirrored as is_mirrored
from fomaug.geometry.plane import resize_flow as resize_flow
from fomaug.geometry.plane import resize_map as resize_map
from fomaug.geometry.plane import warp_image as warp_image
from fomaug.geometry.pose import hull_area as hull_area
from fomaug.geometry.pose import hull_areas as hull_areas
from fomaug.geometry.pose import inverse_jacobian as inverse_jacobian
from fomaug.geometry.pose import normalise as normalise
from fomaug.geometry.pose import pose_distance as pose_distance
from fomaug.geometry.pose import scaled as scaled
from fomaug.geometry.pose import shape_distance as shape_distance
from fomaug.geometry.pose import showable_share as showable_share
from fomaug.geometry.pose import side_growth as side_growth
from fomaug.geometry.pose import take_share as take_share
from fomaug.geometry.pose import transfer as transfer
from fomaug.geometry.target import Bounded as Bounded
from fomaug.geometry.target import Measures as Measures
from fomaug.geometry.target import TransferMode as TransferMode
from fomaug.geometry.target import bounded_target as bounded_target
from fomaug.geometry.target import check_region as check_region
from fomaug.geometry.target import confine as confine
from fomaug.geometry.target import target_keypoints as target_keypoints

__all__ = [
    "Bounded",
    "Frame",
    "Measures",
    "TransferMode",
    "bounded_target",
    "check_region",
    "coarsen_flow",
    "confine",
    "gaussian_heatmap",
    "hull_area",
    "hull_areas",
    "identity_grid",
    "inverse_2x2",
    "inverse_jacobian",
    "is_mirrored",
    "normalise",
    "pose_distance",
    "resize_flow",
    "resize_map",
    "scaled",
    "shape_distance",
    "showable_share",
    "side_growth",
    "take_share",
    "target_keypoints",
    "transfer",
    "warp_image",
]
