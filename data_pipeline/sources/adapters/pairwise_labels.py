"""Two answers and a verdict, in the layouts of LLMBar, Auto-J, JudgeBench and AlpacaEval annotations.

::

    {"input": "...", "output_1": "...", "output_2": "...", "label": 2}                              LLMBar
    {"scenario": "...", "prompt": "...", "response 1": "...", "response 2": "...", "label": 0}      Auto-J
    {"pair_id": "p1", "question": "...", "response_A": "...", "response_B": "...", "label": "A>B"}  JudgeBench
    {"instruction": "...", "output_1": "...", "output_2": "...", "preference": 1.5, ...}            AlpacaEval

The layout is the first whose prompt, answers and verdict the record has. LLMBar: 1 or 2 is the better one. Auto-J: 0
is the first, 1 the second, 2 a tie. JudgeBench: ``A>B`` or ``B>A``. AlpacaEval: from 1 (the first) to 2 (the second);
1.5 is a tie and so is 0, null means that the judge gave no verdict (refused, ``unparsable_label``).

Awkward: AlpacaEval keeps a reference model on one side, so that "the second wins" holds for most records; some of its
answers are empty or equal (refused later, by `records.checks`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, Response, Turn
from data_pipeline.sources.parsing import fields, ratings

__all__ = ["IRRELEVANT", "to_comparison"]

IRRELEVANT = (
    "generator*",
    "annotator",
    "dataset",
    "datasplit",
    "scenario",
    "source",
    "original_id",
    "*_model",
    "raw_completion",
    "raw_preference",
    "price_*",
    "time_*",
)

Ranks = tuple[int, int]

_FIRST, _SECOND, _TIE = (0, 1), (1, 0), (0, 0)


def _alpaca_eval(value: object) -> Ranks | None:
    number = None if isinstance(value, str) else ratings.parse_rating(value)
    if number is None or not (number == 0 or 1 <= number <= 2):
        return None
    if number in (0, 1.5):
        return _TIE
    return _FIRST if number < 1.5 else _SECOND


def _one_of(verdicts: Mapping[int | str, Ranks]) -> Callable[[object], Ranks | None]:
    def ranks(value: object) -> Ranks | None:
        return verdicts.get(value) if isinstance(value, int | str) and not isinstance(value, bool) else None

    return ranks


@dataclass(frozen=True)
class _Layout:
    """Where one set keeps what; `ranks` reads its verdict, None where it is none."""

    prompt: str
    first: str
    second: str
    verdict: str
    ranks: Callable[[object], Ranks | None]

    @property
    def names(self) -> tuple[str, str, str, str]:
        return self.prompt, self.first, self.second, self.verdict


_LAYOUTS = (
    _Layout("input", "output_1", "output_2", "label", _one_of({1: _FIRST, 2: _SECOND})),
    _Layout("prompt", "response 1", "response 2", "label", _one_of({0: _FIRST, 1: _SECOND, 2: _TIE})),
    _Layout("question", "response_A", "response_B", "label", _one_of({"A>B": _FIRST, "B>A": _SECOND})),
    _Layout("instruction", "output_1", "output_2", "preference", _alpaca_eval),
)


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One verdict as a pair, in the record's order.

    Raises:
        RecordError: missing_field (no layout fits), wrong_field_type, unparsable_label.
    """
    layout = next((one for one in _LAYOUTS if all(name in record for name in one.names)), None)
    if layout is None:
        known = " or ".join(", ".join(one.names) for one in _LAYOUTS)
        raise RecordError("missing_field", f"row {row} has {sorted(record)}, needed are {known}")
    verdict = record[layout.verdict]
    ranks = layout.ranks(verdict)
    if ranks is None:
        raise RecordError("unparsable_label", f"{layout.verdict} in row {row} is {str(verdict)[:80]!r}")
    texts = (fields.text(record, layout.first, row), fields.text(record, layout.second, row))
    return Comparison(
        id=fields.id_of(record, "pair_id", row),
        source=source.name,
        prompt=(Turn("user", (fields.text(record, layout.prompt, row),)),),
        responses=tuple(Response((text,), rank) for text, rank in zip(texts, ranks, strict=True)),
    )
