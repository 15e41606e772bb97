"""Expansion of a face dataset with the motion of a driving pool.

`fomaug.expand` is this package and can also be called as the function `expand` in it. Importing a package binds its
name on `fomaug` to the module, so the module itself has to be callable; see
`docs/decisions/0013-callable-expand.md`.
"""

import sys
from functools import wraps
from importlib import import_module
from types import ModuleType
from typing import Any

from fomaug.expand.gates import parse_gates as parse_gates
from fomaug.expand.inspect.leaks import Leak as Leak
from fomaug.expand.inspect.leaks import find_leaks as find_leaks
from fomaug.expand.inspect.summary import Summary as Summary
from fomaug.expand.inspect.summary import summarise as summarise
from fomaug.expand.job import expand as expand
from fomaug.expand.names import parse_labels as parse_labels
from fomaug.expand.plan import ExpandPlan as ExpandPlan
from fomaug.expand.report import ExpandReport as ExpandReport
from fomaug.expand.report import Failure as Failure
from fomaug.expand.resources import parse_weights as parse_weights

__all__ = [
    "expand",
    "ExpandPlan",
    "ExpandReport",
    "Failure",
    "parse_labels",
    "parse_gates",
    "parse_weights",
    "Summary",
    "summarise",
    "Leak",
    "find_leaks",
]


class _CallableModule(ModuleType):
    """A module that can be called as `expand`, and pickled by its name as functions are."""

    @wraps(expand)
    def __call__(self, *args: Any, **options: Any) -> ExpandReport:
        return expand(*args, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        return import_module, (__name__,)


sys.modules[__name__].__class__ = _CallableModule
