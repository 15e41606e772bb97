"""Names of modules and packages that are imported on demand, moved to another module, or called as a function."""

from __future__ import annotations

import importlib
import inspect
import sys
import warnings
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any


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
