"""Raw records that remember which of their fields were read, at every depth, so that no part of one is lost unseen."""

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Any, NamedTuple

__all__ = ["Unread", "Watched", "unread_in", "watched"]


class Watched(dict[str, Any]):
    """An object of a raw record. Asking whether a field is there does not read it.

    `parsed` holds what an adapter unpacked of a field, such as JSON inside a string, and is watched in its place.
    """

    def __init__(self) -> None:
        super().__init__()
        self.read: set[str] = set()
        self.parsed: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        self.read.update(self)
        return super().values()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        self.read.update(self)
        return super().items()

    def fields(self) -> Iterator[tuple[str, Any]]:
        """Every field with what stands in it, without reading it."""
        return iter(super().items())


class Unread(NamedTuple):
    """A field that nothing asked for.

    Attributes:
        path: names from the record down, joined by dots; lists have no part in it: ``chosen.tool_calls``.
        value: what it holds.
        within: the object that has it.
    """

    path: str
    value: Any
    within: Watched


def watched(value: Any) -> Any:
    """A copy of the record that is watched, without the fields that are null, at every depth: null is absent.

    Parquet writes every column of a table into every row, null where it does not apply, and so do data frames.

    >>> watched({"chosen": "A", "responses": None, "items": [{"score": None, "rank": 0}]})
    {'chosen': 'A', 'items': [{'rank': 0}]}
    """
    whole: list[Any] = [None]
    waiting: list[tuple[Any, Any, Any]] = [(whole, 0, value)]  # trees of messages are deeper than Python's calls
    while waiting:
        into, key, found = waiting.pop()
        if isinstance(found, Mapping):
            made = Watched()
            made.update(dict.fromkeys(name for name, one in found.items() if one is not None))
            into[key] = made
            waiting += [(made, name, found[name]) for name in made]
        elif isinstance(found, list):
            row: list[Any] = [None] * len(found)
            into[key] = row
            waiting += [(row, place, one) for place, one in enumerate(found)]
        else:
            into[key] = found
    return whole[0]


def unread_in(record: Watched) -> list[Unread]:
    """The fields of the record that were not read, and those of every object in the fields that were.

    A field inside one of its own name (replies to replies) has one path, however deep it stands.
    """
    found: list[Unread] = []
    waiting: list[tuple[str, Any]] = [("", record)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, list):
            waiting += [(path, one) for one in reversed(value)]
        elif isinstance(value, Watched):
            below = []
            for name, inner in value.fields():
                inner_path = path if path.rpartition(".")[2] == name else f"{path}.{name}" if path else name
                if name not in value.read:
                    found.append(Unread(inner_path, inner, value))
                else:
                    below.append((inner_path, value.parsed.get(name, inner)))
            waiting += reversed(below)
    return found
