"""The main job: a face dataset and a driving pool in, an expanded dataset out.

`fomaug.expand` is both this package and, called, the function `expand` in it: once a submodule is imported, its name on
the package `fomaug` is the module, so the module answers the call.
"""

import sys
from functools import wraps
from types import ModuleType
from typing import Any

from fomaug.expand._expand import expand as expand
from fomaug.expand._plan import ExpandPlan as ExpandPlan
from fomaug.expand._policy import parse_labels as parse_labels
from fomaug.expand._report import ExpandReport as ExpandReport
from fomaug.expand._report import Failure as Failure

__all__ = ["expand", "ExpandPlan", "ExpandReport", "Failure", "parse_labels"]


class _CallableModule(ModuleType):
    @wraps(expand)
    def __call__(self, *args: Any, **options: Any) -> ExpandReport:
        return expand(*args, **options)


sys.modules[__name__].__class__ = _CallableModule
