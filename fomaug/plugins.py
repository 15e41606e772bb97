"""Functions of the user's, named on the command line as `module:attribute`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fomaug.errors import ArgumentError


def named_callable(name: str) -> Callable[..., Any]:
    """Import what `module:attribute` names; a class is called without arguments first.

    The current folder is searched last, whichever way the program was started, so that a file of the user's beside the
    data can be named; it stays in `sys.path` for what that file imports later, and for worker processes.

    Raises:
        ArgumentError: if there is no such module or attribute, or it cannot be called.

    >>> named_callable("math:sqrt")(9)
    3.0
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ArgumentError(f"{name!r} does not name a function; write module:attribute")
    folder = str(Path.cwd())
    if not {"", folder} & set(sys.path):
        sys.path.append(folder)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ArgumentError(f"{name!r} cannot be imported: {error}") from error
    made = found() if isinstance(found, type) else found
    if not callable(made):
        raise ArgumentError(f"{name!r} is a {type(made).__name__}, which cannot be called")
    function: Callable[..., Any] = made
    return function
