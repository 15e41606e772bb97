"""The import of all code of workers, by which the fork server begins; no other process imports this module.

The garbage collector is off meanwhile. Torch makes hundreds of thousands of objects that are never freed, and the
collector would examine them several times, which takes a quarter of the time of the import.
"""

from __future__ import annotations

import gc
from importlib import import_module
from typing import Final

_MODULES: Final = ("fomaug.expand.engines.process", "fomaug.media.picture_plugin")


def _preload() -> None:
    gc.disable()
    for name in _MODULES:
        import_module(name)
    # Pillow imports the code of all formats when it opens the first picture.
    import_module("PIL.Image").init()
    gc.freeze()  # workers do not examine these objects either
    gc.enable()


_preload()
