"""Do fomaug's copies help on a dataset? Networks are trained without augmentation, with classic, and with copies.

`fomaug.study` is both this package and, called, the function `study` in it, as `fomaug.expand` is.
"""

import sys
from functools import wraps
from types import ModuleType
from typing import Any

from fomaug.study.plan import StudyPlan as StudyPlan
from fomaug.study.report import ArmResult as ArmResult
from fomaug.study.report import StudyResult as StudyResult
from fomaug.study.run import study as study
from fomaug.study.statistics import Estimate as Estimate
from fomaug.study.statistics import estimate as estimate

__all__ = ["study", "StudyPlan", "StudyResult", "ArmResult", "Estimate", "estimate"]


class _CallableModule(ModuleType):
    @wraps(study)
    def __call__(self, *args: Any, **options: Any) -> StudyResult:
        return study(*args, **options)


sys.modules[__name__].__class__ = _CallableModule
