"""Studies of the benefit of copies: networks trained without augmentation, with classic augmentation and with copies.

`fomaug.study` is this package and can also be called as the function `study` in it, as `fomaug.expand` can.
"""

from fomaug.names import make_callable
from fomaug.study.plan import StudyPlan as StudyPlan
from fomaug.study.report import ArmResult as ArmResult
from fomaug.study.report import StudyResult as StudyResult
from fomaug.study.run import study as study
from fomaug.study.statistics import Estimate as Estimate
from fomaug.study.statistics import estimate as estimate

__all__ = ["study", "StudyPlan", "StudyResult", "ArmResult", "Estimate", "estimate"]

make_callable(__name__)
