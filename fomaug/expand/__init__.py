"""The main job: a face dataset and a driving pool in, an expanded dataset out.

`fomaug.expand` is both this package and, called, the function `expand` in it: once a submodule is imported, its name on
the package `fomaug` is the module, so the module answers the call.
"""

import sys
from functools import wraps
from types import ModuleType
from typing import Any

from fomaug.expand.gates import parse_gates as parse_gates
from fomaug.expand.inspect.leaks import Leak as Leak
from fomaug.expand.inspect.leaks import find_leaks as find_leaks
from fomaug.expand.inspect.summary import Summary as Summary
from fomaug.expand.inspect.summary import summarise as summarise
from fomaug.expand.job import expand as expand
from fomaug.expand.labels import parse_labels as parse_labels
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
    @wraps(expand)
    def __call__(self, *args: Any, **options: Any) -> ExpandReport:
        return expand(*args, **options)


sys.modules[__name__].__class__ = _CallableModule
