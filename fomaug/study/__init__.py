"""Studies of the benefit of copies: compare networks trained without augmentation, with classic, and with copies.

`fomaug.study` is this package. Like `fomaug.expand`, it can also be called as the function of the same name.
Names are imported on first use, so that `fomaug study --help` does not wait for torch.
"""

from typing import TYPE_CHECKING

from fomaug.imports import make_callable, names_on_demand

if TYPE_CHECKING:
    from fomaug.study.arms import Mixture as Mixture
    from fomaug.study.design import Estimate as Estimate
    from fomaug.study.design import estimate as estimate
    from fomaug.study.plan import StudyPlan as StudyPlan
    from fomaug.study.report import ArmResult as ArmResult
    from fomaug.study.report import StudyResult as StudyResult
    from fomaug.study.run import study as study

__all__ = ["study", "Mixture", "StudyPlan", "StudyResult", "ArmResult", "Estimate", "estimate"]

__getattr__ = names_on_demand(
    __name__,
    {
        "Mixture": "fomaug.study.arms",
        "StudyPlan": "fomaug.study.plan",
        "ArmResult": "fomaug.study.report",
        "StudyResult": "fomaug.study.report",
        "study": "fomaug.study.run",
        "Estimate": "fomaug.study.design",
        "estimate": "fomaug.study.design",
    },
)
make_callable(__name__)
