"""Values of JSON that hypothesis makes up: good ones with a part replaced."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import strategies as st

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        [0, 1, 2, 3, 32, 64, 2**31, 2**63, -1, 10**400, 1e-300, 1e300, float("inf"), float("nan"), "", "\ud800"]
    ),
)


_WHOLE = st.sampled_from([0, -1, 2**31, 2**62, 2**63, -(2**63), 2**64, 10**400])


def values_of(names: list[str]) -> st.SearchStrategy[Any]:
    keys = st.one_of(st.sampled_from(names), st.text(max_size=6))
    return st.recursive(
        SCALARS,
        lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(keys, inner, max_size=6)),
        max_leaves=12,
    )


def names_in(content: bytes) -> list[str]:
    return sorted({word.decode() for word in re.findall(rb"[a-z][a-z_]{2,}", content[:6000])})


def _alike(value: Any, names: list[str]) -> st.SearchStrategy[Any]:
    """Values of the same type, and numbers at the ends of what there is."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return st.one_of(st.integers(-3, 100), _WHOLE)
    if isinstance(value, float):
        return st.one_of(st.floats(), st.floats(-2, 2), _WHOLE)
    return st.one_of(st.sampled_from(names), st.text(max_size=12)) if isinstance(value, str) else values_of(names)


@st.composite
def changed(draw: st.DrawFn, values: Any, names: list[str]) -> Any:
    """Good values with one part, at any depth, replaced by something made up, or lost, or doubled."""
    if isinstance(values, dict) and values and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(values)))
        if not draw(st.integers(0, 9)):
            return {name: value for name, value in values.items() if name != key}
        return {**values, key: draw(changed(values[key], names))}
    if isinstance(values, list) and values and draw(st.integers(0, 5)):
        index = draw(st.integers(0, len(values) - 1))
        before, value, after = values[:index], values[index], values[index + 1 :]
        some = draw(st.sampled_from([[], [value, value], None, None, None, None]))
        return [*before, *(some if some is not None else [draw(changed(value, names))]), *after]
    return draw(_alike(values, names) if draw(st.booleans()) else values_of(names))
