"""Every field of a record is read, known to mean nothing, or counted; what would be lost with it refuses the record.

record --watched--> adapter -> Comparisons
                       `-> fields that it did not read: listed by the shape or the recipe   passed over
                                                        a picture, a video, sound           refused: unread_media
                                                        calls of tools, a system prompt     refused: unread_field
                                                        anything else                       counted by its name
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.lost_parts import has_meaning, media_in, shown_value
from data_pipeline.sources.parsing.watched import Unread, Watched, unread_in, watched

__all__ = ["Adapter", "UnreadFields", "accounted", "shown_name"]

Adapter = Callable[[Mapping[str, Any], SourceConfig, int], Comparison | Sequence[Comparison]]
"""(raw record, its source, its row number from 0) -> one Comparison, or the several that the record holds; raises
RecordError where nothing can be made of it."""

MAX_NAMES = 50
MAX_NAME_CHARS = 80
OTHERS = "(others)"
_BY_PLACES = ("image_slot_mismatch", "missing_media")
"""Refusals that a picture at an unread place explains better."""


class UnreadFields(Counter[str]):
    """How many records have a field that is not read, by the field's path; bounded, whatever records hold."""

    def note(self, paths: Iterable[str]) -> None:
        """Count one record with fields at `paths`."""
        for path in dict.fromkeys(map(shown_name, paths)):
            self[path if path in self or len(self) < MAX_NAMES else OTHERS] += 1

    @classmethod
    def merged(cls, parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
        """The sum of several counts, by name; the rarest names of very many together as ``(others)``."""
        total: Counter[str] = Counter()
        for part in parts:
            total.update(part)
        ranked = sorted(total.items(), key=lambda one: (one[0] == OTHERS, -one[1], one[0]))
        found = dict(sorted(ranked[:MAX_NAMES]))
        if rest := sum(count for _, count in ranked[MAX_NAMES:]):
            found[OTHERS] = found.get(OTHERS, 0) + rest
        return found


def accounted(
    adapter: Adapter,
    irrelevant: Sequence[str] = (),
    unread: UnreadFields | None = None,
    *,
    refuse_lost: bool = True,
) -> Adapter:
    """The adapter, on records without nulls, with an account of every field that it leaves unread.

    Args:
        irrelevant: paths of fields that mean nothing to this shape; ``*`` stands for any characters.
        unread: counts the fields that are neither read nor irrelevant.
        refuse_lost: refuse a record that would lose a part of itself; else that part is only counted.
    """

    def read(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison | Sequence[Comparison]:
        known = (*irrelevant, *source.fields.ignored)
        seen = watched(record)
        try:
            made = adapter(seen, source, row)
        except RecordError as error:
            if refuse_lost and error.reason in _BY_PLACES:
                named = (one for one in _left(seen, known) if media_in(one, (), by_name=True))
                _refuse(named, "unread_media", source, row)
            raise
        left = _left(seen, known)
        if refuse_lost:
            media = [ref for one in ([made] if isinstance(made, Comparison) else made) for ref in one.media]
            _refuse((one for one in left if media_in(one, media)), "unread_media", source, row)
            _refuse((one for one in left if has_meaning(one)), "unread_field", source, row)
        if unread is not None:
            unread.note(one.path for one in left)
        return made

    return read


def shown_name(path: str) -> str:
    """A field's name for people: of printable characters, and not too long."""
    safe = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in path[:MAX_NAME_CHARS])
    return safe.encode("utf-8", "backslashreplace").decode()


def _left(record: Watched, known: Sequence[str]) -> list[Unread]:
    return [one for one in unread_in(record) if not any(fnmatchcase(one.path, pattern) for pattern in known)]


def _refuse(lost: Iterable[Unread], reason: str, source: SourceConfig, row: int) -> None:
    """Refuse the record for the first part that would be lost, if there is one.

    Raises:
        RecordError: of this reason.
    """
    for one in lost:
        found = f"{shown_name(one.path)} in row {row} is not read by shape {source.shape}: {shown_value(one)}"
        raise RecordError(reason, f"{found} (where it means nothing, list it in fields.ignored)")
