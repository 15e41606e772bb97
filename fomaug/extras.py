"""Import the optional packages."""

from __future__ import annotations

import importlib
from types import ModuleType

from fomaug.errors import MissingExtraError


def require(package: str, extra: str = "") -> ModuleType:
    """Import a package that is installed only with an extra.

    Python imports a folder of the same name, such as `ray/` beside a script, as an empty package; it is not taken for
    the package.

    Args:
        package: name of the package.
        extra: name of the extra that installs it; empty for that of the package.

    Raises:
        MissingExtraError: the package is not installed. Errors of an installed package are raised unchanged.
    """
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingExtraError(package, extra or package) from error
    if module.__spec__ is not None and module.__spec__.origin is None:
        raise MissingExtraError(package, extra or package)
    return module
