"""Imports on demand: the names of packages, moved names, functions that users name, and optional packages."""

from __future__ import annotations

import importlib
import inspect
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from fomaug.errors import ArgumentError, MissingExtraError


def names_on_demand(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the `__getattr__` of a package that imports a name when it is first used.

    Args:
        module: full name of the package.
        homes: full name of the module that defines each name.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return find


def moved_names(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the `__getattr__` of a module whose public names have moved; they work for one more release.

    Args:
        module: full name of the old module.
        homes: full name of the new module for each name.
    """
    find = names_on_demand(module, homes)

    def find_and_warn(name: str) -> Any:
        found = find(name)
        warnings.warn(
            f"{module}.{name} has moved to {homes[name]}.{name}; the next release removes the old name",
            DeprecationWarning,
            stacklevel=2,
        )
        return found

    return find_and_warn


class _CallableModule(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._function()(*args, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function())

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *self.__dict__.get("__all__", ())})

    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, (self.__name__,)

    def _function(self) -> Callable[..., Any]:
        function: Callable[..., Any] = getattr(self, self.__name__.rpartition(".")[2])
        return function


def make_callable(module: str) -> None:
    """Make a package callable as the function of the same name in it, and picklable by its name like a function.

    Args:
        module: full name of the package; see `docs/decisions/0013-callable-expand.md`.
    """
    sys.modules[module].__class__ = _CallableModule


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
    try:
        made = found() if isinstance(found, type) else found
    except TypeError as error:
        raise ArgumentError(f"{name!r} is a class that must be callable without arguments: {error}") from error
    if not callable(made):
        raise ArgumentError(f"{name!r} must be a function or a class, got a {type(made).__name__}")
    function: Callable[..., Any] = made
    return function


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
    if getattr(module, "__file__", None) is None:
        raise MissingExtraError(package, extra or package)
    return module
