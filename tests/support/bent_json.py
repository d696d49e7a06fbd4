"""Good records with a few places bent, for properties of the adapters."""

import copy
from typing import Any

from hypothesis import strategies as st

__all__ = ["bent_records", "json_of"]


def json_of(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Lists and objects of `leaves`, a few levels deep."""
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
        max_leaves=8,
    )


@st.composite
def bent_records(draw: st.DrawFn, good: dict[str, Any], values: st.SearchStrategy[Any]) -> dict[str, Any]:
    """The good record with up to three places, inner ones included, replaced by one of `values` or removed."""
    record = copy.deepcopy(good)
    for _ in range(draw(st.integers(0, 3))):
        if not (known := _places(record)):
            break
        *way, last = draw(st.sampled_from(known))
        place: Any = record
        for step in way:
            place = place[step]
        if draw(st.integers(0, 4)):
            place[last] = draw(values)
        else:
            del place[last]
    return record


def _places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += _places(inner, (*path, key))
    return found
