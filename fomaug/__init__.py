"""Animate every face of a dataset with the motion of driving clips, and move its labels with the face.

>>> import fomaug
>>> fomaug.__version__
'0.1.0'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fomaug import data as data
    from fomaug import driving as driving
    from fomaug import evaluation as evaluation
    from fomaug import integrations as integrations
    from fomaug import labels as labels
    from fomaug import media as media
    from fomaug import motion as motion
    from fomaug import quality as quality
    from fomaug import training as training
    from fomaug import visual as visual
    from fomaug import warp as warp
    from fomaug.animator import Animator as Animator
    from fomaug.augment import MotionAugment as MotionAugment
    from fomaug.augment import MotionResult as MotionResult
    from fomaug.convert import convert as convert
    from fomaug.driving import DrivingPool as DrivingPool
    from fomaug.driving import MotionTrack as MotionTrack
    from fomaug.errors import FomaugError as FomaugError
    from fomaug.expand import Expander as Expander
    from fomaug.expand import expand as expand
    from fomaug.geometry import transfer as transfer
    from fomaug.motion import MotionParams as MotionParams
    from fomaug.study import study as study
    from fomaug.types import Animated as Animated
    from fomaug.types import Keypoints as Keypoints
    from fomaug.types import Source as Source
    from fomaug.weights import list_models as list_models
    from fomaug.weights import load_model as load_model
    from fomaug.weights import save_model as save_model

# Names are imported on first use, so that `import fomaug` and the command line's --help load neither torch nor av. The
# packages `convert`, `expand` and `study` can be called as functions.
_HOMES = {
    "Animated": "types",
    "Animator": "animator",
    "DrivingPool": "driving",
    "Expander": "expand",
    "FomaugError": "errors",
    "Keypoints": "types",
    "MotionAugment": "augment",
    "MotionParams": "motion",
    "MotionResult": "augment",
    "MotionTrack": "driving",
    "Source": "types",
    "list_models": "weights",
    "load_model": "weights",
    "save_model": "weights",
    "transfer": "geometry",
}
__all__ = [
    "Animated",
    "Animator",
    "DrivingPool",
    "Expander",
    "FomaugError",
    "Keypoints",
    "MotionAugment",
    "MotionParams",
    "MotionResult",
    "MotionTrack",
    "Source",
    "__version__",
    "convert",
    "data",
    "driving",
    "evaluation",
    "expand",
    "integrations",
    "labels",
    "list_models",
    "load_model",
    "media",
    "motion",
    "quality",
    "save_model",
    "study",
    "training",
    "transfer",
    "visual",
    "warp",
]

_MODULES = tuple(name for name in __all__ if name not in _HOMES and name != "__version__")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"fomaug.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'fomaug' has no attribute {name!r}")
    return getattr(importlib.import_module(f"fomaug.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
