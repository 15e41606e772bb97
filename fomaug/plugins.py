"""Import functions of the user that the command line gives as `module:attribute`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fomaug.errors import ArgumentError


def named_callable(name: str) -> Callable[..., Any]:
    """Import the function `module:attribute`; a class is instantiated without arguments.

    The current folder is searched last, however the program was started, so that the function may be in a file there.
    The folder stays in `sys.path` for later imports of this file and for worker processes.

    Raises:
        ArgumentError: there is no such module or attribute, or it cannot be called.

    >>> named_callable("math:sqrt")(9)
    3.0
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ArgumentError(f"a function must be given as module:attribute, got {name!r}")
    folder = str(Path.cwd())
    if not {"", folder} & set(sys.path):
        sys.path.append(folder)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ArgumentError(f"{name!r} cannot be imported: {error}") from error
    made = found() if isinstance(found, type) else found
    if not callable(made):
        raise ArgumentError(f"{name!r} must be a function or a class, got a {type(made).__name__}")
    function: Callable[..., Any] = made
    return function
