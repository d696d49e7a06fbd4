"""Fine-Grained RLHF preferences: a question with passages, four answers, and one vote for each two of them.

::

    {"question": "When was the bridge built?", "passages": [["Old Bridge", "Old Bridge\\n\\nIt was ...", "In ..."]],
     "gold": "...", "prediction 1": "...", "prediction 2": "...", "prediction 3": "...", "prediction 4": "...",
     "feedback": {"errors": [...], "missing-info": [...]}, "preference": [1, 0, 2, 1, 0, 2]}

``preference`` judges the pairs (1,2) (1,3) (1,4) (2,3) (2,4) (3,4): 0 equal, 1 the first is better, 2 the second. A
passage is a title and its sentences. The prompt is the question and, below it, the passages; ``gold`` and ``feedback``
are not read.

Awkward: in about half of the passages the first sentence repeats the title; a few records have no passage. Six votes
need not fit one order. Where they do (478 of 500 in the development part), the record is one Comparison of four answers
with ties; where they do not, it is one Comparison of two answers for each vote that is no tie, with ids such as
``12:1-3``.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, Response, Turn, ranks_from_scores
from data_pipeline.sources.parsing import fields

__all__ = ["IRRELEVANT", "ranks_from_votes", "to_comparisons"]

IRRELEVANT = ("gold", "feedback")

_PAIRS = tuple(combinations(range(4), 2))


def to_comparisons(record: Mapping[str, Any], source: SourceConfig, row: int) -> list[Comparison]:
    """One record as a Comparison of four, or of two for each decided vote where the votes fit no order.

    Raises:
        RecordError: missing_field, wrong_field_type, unparsable_label (other than six votes of 0, 1 or 2).
    """
    prompt = (Turn("user", (_prompt(record, row),)),)
    answers = [fields.text(record, f"prediction {number}", row) for number in range(1, 5)]
    votes = _votes(record, row)

    def comparison(name: str, places: Sequence[int], ranks: Sequence[int]) -> Comparison:
        responses = tuple(Response((answers[place],), rank) for place, rank in zip(places, ranks, strict=True))
        return Comparison(id=name, source=source.name, prompt=prompt, responses=responses)

    if ranks := ranks_from_votes(votes):
        return [comparison(str(row), range(4), ranks)]
    decided = [(pair, vote) for pair, vote in zip(_PAIRS, votes, strict=True) if vote]
    return [
        comparison(f"{row}:{pair[0] + 1}-{pair[1] + 1}", pair, (0, 1) if vote == 1 else (1, 0))
        for pair, vote in decided
    ]


def ranks_from_votes(votes: Sequence[int]) -> tuple[int, ...] | None:
    """The ranks of four answers that give exactly these six votes, or None where no order with ties does.

    >>> ranks_from_votes([1, 1, 1, 0, 2, 2])
    (0, 2, 2, 1)
    >>> ranks_from_votes([1, 2, 0, 1, 0, 0]) is None
    True
    """
    points = [0, 0, 0, 0]
    for (first, second), vote in zip(_PAIRS, votes, strict=True):
        points[first] += (1, 2, 0)[vote]
        points[second] += (1, 0, 2)[vote]
    # In an order with ties, more points mean a better place and equal points a tie; so this is the only candidate.
    ranks = ranks_from_scores(points)
    given = [0 if ranks[a] == ranks[b] else 1 if ranks[a] < ranks[b] else 2 for a, b in _PAIRS]
    return ranks if given == list(votes) else None


def _votes(record: Mapping[str, Any], row: int) -> list[int]:
    value = fields.require(record, "preference", row)
    if not isinstance(value, list):
        raise fields.wrong_type("preference", row, "a list of six votes", value)
    if len(value) != len(_PAIRS) or any(isinstance(vote, bool) or vote not in (0, 1, 2) for vote in value):
        raise RecordError("unparsable_label", f"preference in row {row} is not six of 0, 1, 2: {str(value)[:80]}")
    return [int(vote) for vote in value]


def _prompt(record: Mapping[str, Any], row: int) -> str:
    passages = fields.require(record, "passages", row)
    if not isinstance(passages, list) or not all(_is_passage(passage) for passage in passages):
        raise fields.wrong_type("passages", row, "a list of [title, sentence, ...]", passages)
    return "\n\n".join([fields.text(record, "question", row), *map(_passage, passages)])


def _is_passage(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(part, str) for part in value)


def _passage(passage: Sequence[str]) -> str:
    title, *sentences = passage
    text = " ".join(sentences)
    return text if text.startswith(f"{title}\n") else f"{title}\n\n{text}".strip()
