r"""LLaVA-Critic, pairwise: a judge's prompt with both answers in the human turn, its verdict in the other.

::

    {"id": "7", "source": "...", "image": {"bytes": b"\xff\xd8...", "path": "7.jpg"}, "conversations": [
        {"from": "human", "value": "<image>\n... Question: [What is it?]\nThe first response: [A wren.]\nThe second
                                    response: [A trout.]\nASSISTANT:\n"},
        {"from": "gpt", "value": "The first one names the bird. The better response: [first]"}]}

The verdict is ``The better response: [first]``, also with second, 1, 2, A or B, or "equally good" near the end; for
prompts in the layout of Arena-Hard it is ``[[A>B]]``.

Awkward: the answers have no field of their own; one that quotes the judge's marks can't be told apart (refused,
``no_answers_found``), and so are the pointwise records, which have one answer.
"""

import re
from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.parsing import fields, image_turns, judge_prompts

__all__ = ["IRRELEVANT", "to_comparison"]

IRRELEVANT = ("source",)

_VERDICT = re.compile(r"better response: *\[(\w+)\]|\[\[([AB][>=]{1,2}[AB])\]\]", re.IGNORECASE)
_TIE = re.compile(r"(?<!not )equally good[^\n]{0,80}\Z")
_FIRST, _SECOND, _EQUAL = (0, 1), (1, 0), (0, 0)
_RANKS = {
    "first": _FIRST, "1": _FIRST, "a": _FIRST, "a>b": _FIRST, "a>>b": _FIRST,
    "second": _SECOND, "2": _SECOND, "b": _SECOND, "b>a": _SECOND, "b>>a": _SECOND,
    "a=b": _EQUAL,
}  # fmt: skip


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One judged pair, in the order of the judge's prompt.

    Raises:
        RecordError: missing_field, wrong_field_type, malformed_dialogue (not one human and one gpt turn),
            no_answers_found, unparsable_label (no verdict, or several that differ), missing_media, broken_image,
            image_slot_mismatch.
    """
    turns = image_turns.spoken_turns(fields.require(record, "conversations", row), "conversations", row)
    roles = [turn.role for turn in turns]
    if roles != ["user", "assistant"]:
        raise RecordError(
            "malformed_dialogue", f"conversations in row {row} are {roles}, not one human and one gpt turn"
        )
    human, verdict = (str(turn.parts[0]) for turn in turns)
    layouts = (*judge_prompts.BRACKETS, judge_prompts.ARENA)
    found = judge_prompts.judged(human, layouts, "conversations[0].value", row)
    return image_turns.one_question(
        found.question,
        image_turns.needed_media(record, "image", row),
        list(zip((found.first, found.second), _ranks(verdict, row), strict=True)),
        name=fields.id_of(record, "id", row),
        source=source,
        row=row,
    )


def _ranks(verdict: str, row: int) -> tuple[int, int]:
    words = [match[1] or match[2] for match in _VERDICT.finditer(verdict)]
    known = {_RANKS.get(word.lower()) for word in words}
    if not words and _TIE.search(verdict.rstrip()):
        return _EQUAL
    ranks = known.pop() if len(known) == 1 else None
    if ranks is None:
        shown = f"verdicts {words[:4]}" if words else f"no verdict at the end of {verdict[-80:]!r}"
        raise RecordError("unparsable_label", f"conversations[1].value in row {row} has {shown}")
    return ranks
