"""Faces in larger pictures: where they are, cut out with some room, and blended back with no seam."""

from fomaug.faces._blend import FaceMotion as FaceMotion
from fomaug.faces._blend import blend as blend
from fomaug.faces._blend import compose_motion as compose_motion
from fomaug.faces._blend import fades as fades
from fomaug.faces._blend import paste as paste
from fomaug.faces._locate import Detector as Detector
from fomaug.faces._locate import check_finder as check_finder
from fomaug.faces._locate import find_regions as find_regions
from fomaug.faces._regions import Region as Region
from fomaug.faces._regions import region_around as region_around
from fomaug.faces._regions import regions_around as regions_around

__all__ = [
    "Detector",
    "FaceMotion",
    "Region",
    "blend",
    "check_finder",
    "compose_motion",
    "fades",
    "find_regions",
    "paste",
    "region_around",
    "regions_around",
]
