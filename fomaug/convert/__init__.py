"""Convert an expanded dataset, with its originals, to the formats that trainers read.

`fomaug.convert` is this package and can also be called as the function `convert` in it; see
`docs/decisions/0013-callable-expand.md`. Names are imported on first use.
"""

from typing import TYPE_CHECKING

from fomaug.imports import make_callable, names_on_demand

if TYPE_CHECKING:
    from fomaug.convert.crops import similarity as similarity
    from fomaug.convert.crops import template as template
    from fomaug.convert.job import ConvertReport as ConvertReport
    from fomaug.convert.job import convert as convert
    from fomaug.convert.plan import ConvertPlan as ConvertPlan

__all__ = ["convert", "ConvertPlan", "ConvertReport", "similarity", "template"]

_HOMES = {
    "convert": "job",
    "ConvertPlan": "plan",
    "ConvertReport": "job",
    "similarity": "crops",
    "template": "crops",
}

__getattr__ = names_on_demand(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()})
make_callable(__name__)
