"""`MotionAugment` for other augmentation libraries: `albumentations`, `kornia` and `torchvision`.

Each module follows its library's conventions and loads it when the module itself is first used, so that
`import fomaug.integrations` loads none of them.

>>> from fomaug import integrations
>>> integrations.__all__
['albumentations', 'kornia', 'torchvision']
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fomaug.integrations import albumentations as albumentations
    from fomaug.integrations import kornia as kornia
    from fomaug.integrations import torchvision as torchvision

__all__ = ["albumentations", "kornia", "torchvision"]


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module 'fomaug.integrations' has no attribute {name!r}")
    return importlib.import_module(f"fomaug.integrations.{name}")


def __dir__() -> list[str]:
    return list(__all__)
