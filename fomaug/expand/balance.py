"""How many copies each source gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fomaug.expand.plan import ExpandPlan
from fomaug.expand.sources import SourceFile


def count_copies(plan: ExpandPlan, sources: Sequence[SourceFile]) -> list[int]:
    """Return the number of copies of each source.

    Balanced, pictures and copies together are as many in every class as in the largest one, which gets `plan.copies`
    of each picture; no picture gets more than `plan.max_copies`. Each split is balanced in itself.
    """
    if not plan.balance:
        return [plan.copies] * len(sources)
    sizes = Counter((source.split, source.label) for source in sources)
    largest = Counter[str]()
    for (split, _), size in sizes.items():
        largest[split] = max(largest[split], size)
    seen: Counter[tuple[str, str]] = Counter()
    counts = []
    for source in sources:
        group = source.split, source.label
        missing = largest[source.split] * (1 + plan.copies) - sizes[group]
        share, rest = divmod(missing, sizes[group])
        counts.append(min(plan.max_copies, share + (seen[group] < rest)))
        seen[group] += 1
    return counts
