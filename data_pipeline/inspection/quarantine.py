"""What was refused, counted from the quarantine's own lines, and a few of them to look at."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from data_pipeline.errors import CorruptData

__all__ = ["Refused", "RefusedItem", "read_quarantine"]

EXAMPLES_A_REASON = 5


@dataclass(frozen=True, kw_only=True)
class RefusedItem:
    """One line of the quarantine."""

    source: str
    path: str
    row: int
    item: int
    id: str
    reason: str
    detail: str


@dataclass(kw_only=True)
class Refused:
    """The quarantine in short.

    Attributes:
        counts: items by (source, reason).
        examples: the first items of every reason, of as many sources as there are.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[str, list[RefusedItem]] = field(default_factory=dict)

    @property
    def by_reason(self) -> Counter[str]:
        """Items of each reason."""
        total: Counter[str] = Counter()
        for (_, reason), count in self.counts.items():
            total[reason] += count
        return total


def read_quarantine(lines: Iterable[str | bytes], url: str = "quarantine.jsonl") -> Refused:
    """Count the lines one by one; `url` is for messages.

    Raises:
        CorruptData: a line is no refused item.
    """
    refused = Refused()
    for place, line in enumerate(lines, start=1):
        try:
            item = RefusedItem(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise CorruptData(f"{url!r} line {place} is no refused item ({error}): preprocess again") from error
        refused.counts[item.source, item.reason] += 1
        _keep(refused.examples.setdefault(item.reason, []), item)
    return refused


def _keep(examples: list[RefusedItem], item: RefusedItem) -> None:
    """Add `item` while there is room; a source that has no example yet takes the place of another's second one."""
    if len(examples) < EXAMPLES_A_REASON:
        examples.append(item)
        return
    sources = [one.source for one in examples]
    if item.source in sources:
        return
    for place in range(len(examples) - 1, 0, -1):
        if sources.count(sources[place]) > 1:
            examples[place] = item
            return
