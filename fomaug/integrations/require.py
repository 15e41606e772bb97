"""Load a library that only its adapter needs."""

from __future__ import annotations

import importlib
from types import ModuleType

from fomaug.errors import MissingExtraError


def require(package: str) -> ModuleType:
    """Import a package, or say which extra brings it.

    Raises:
        MissingExtraError: the package is not installed; a package that is installed and broken speaks for itself.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingExtraError(package, package) from error
