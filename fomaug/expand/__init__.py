"""Expand a face dataset with the motion of a driving pool.

`fomaug.expand` is this package and can also be called as the function `expand` in it. Importing a package binds its
name on `fomaug` to the module, so the module itself has to be callable; see
`docs/decisions/0013-callable-expand.md`. Names are imported on first use, so that `fomaug expand --help` does not wait
for torch.
"""

from typing import TYPE_CHECKING

from fomaug.imports import make_callable, names_on_demand

if TYPE_CHECKING:
    from fomaug.expand.expander import Expander as Expander
    from fomaug.expand.expander import UnusedRowsWarning as UnusedRowsWarning
    from fomaug.expand.gates import parse_gates as parse_gates
    from fomaug.expand.inspect import Leak as Leak
    from fomaug.expand.inspect import Summary as Summary
    from fomaug.expand.inspect import find_leaks as find_leaks
    from fomaug.expand.inspect import summarise as summarise
    from fomaug.expand.job import expand as expand
    from fomaug.expand.job import finish as finish
    from fomaug.expand.labels import parse_labels as parse_labels
    from fomaug.expand.plan import ExpandPlan as ExpandPlan
    from fomaug.expand.report import ExpandReport as ExpandReport
    from fomaug.expand.report import Failure as Failure
    from fomaug.expand.resources import parse_weights as parse_weights
    from fomaug.expand.tasks import parse_share as parse_share

__all__ = [
    "expand",
    "finish",
    "ExpandPlan",
    "ExpandReport",
    "Expander",
    "Failure",
    "UnusedRowsWarning",
    "parse_labels",
    "parse_gates",
    "parse_weights",
    "parse_share",
    "Summary",
    "summarise",
    "Leak",
    "find_leaks",
]

_HOMES = {
    "expand": "job",
    "finish": "job",
    "ExpandPlan": "plan",
    "ExpandReport": "report",
    "Expander": "expander",
    "Failure": "report",
    "UnusedRowsWarning": "expander",
    "parse_labels": "labels",
    "parse_gates": "gates",
    "parse_weights": "resources",
    "parse_share": "tasks",
    "Summary": "inspect",
    "summarise": "inspect",
    "Leak": "inspect",
    "find_leaks": "inspect",
}

__getattr__ = names_on_demand(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()})
make_callable(__name__)
