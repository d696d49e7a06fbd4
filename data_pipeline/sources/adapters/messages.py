"""Pairs as two message lists: Tulu 3, OLMo 2, the WildChat mixes and Skywork-Reward.

::

    {"id": "7", "prompt": "Name a bird.", "source": "...",
     "chosen": [{"role": "user", "content": "Name a bird."}, {"role": "assistant", "content": "A wren."}],
     "rejected": [{"role": "user", "content": "Name a bird."}, {"role": "assistant", "content": "A trout."}],
     "chosen_model": "...", "rejected_model": "...", "chosen_rating": 4.5, "rejected_rating": 2.0}

The prompt is what both lists share before their last turn. ``prompt`` (a string or a list of turns) is read only where
that is no whole opening: where the lists hold the answer alone, or begin with an assistant turn.

Awkward: the sets differ in which fields they have (Skywork-Reward and one OLMo mix have neither ``prompt`` nor ratings
nor ids); a few pairs part before the last turn (refused, ``prompts_differ``: the turns between are labelled along with
the answer); ratings are null or text in some rows, and then left out.
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.records.comparison import Comparison, Response, Turn
from data_pipeline.sources.parsing import dialogue, fields, ratings

__all__ = ["IRRELEVANT", "to_comparison"]

IRRELEVANT = ("source", "chosen_model", "rejected_model")


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One pair of message lists under their common prompt.

    Raises:
        RecordError: missing_field, wrong_field_type, malformed_dialogue (a list does not end with an assistant turn),
            prompts_differ.
    """
    before_chosen, chosen = _side(record, "chosen", row)
    before_rejected, rejected = _side(record, "rejected", row)
    shared = dialogue.shared_prompt(before_chosen, before_rejected, row)
    scores = [ratings.parse_rating(record.get(name)) for name in ("chosen_rating", "rejected_rating")]
    if None in scores:
        scores = [None, None]
    return Comparison(
        id=fields.id_of(record, "id", row),
        source=source.name,
        prompt=(*_opening(record, shared, row), *shared),
        responses=(Response((chosen,), 0, scores[0]), Response((rejected,), 1, scores[1])),
    )


def _side(record: Mapping[str, Any], field: str, row: int) -> tuple[tuple[Turn, ...], str]:
    return dialogue.split_answer(dialogue.turns_of(fields.require(record, field, row), field, row), field, row)


def _opening(record: Mapping[str, Any], shared: tuple[Turn, ...], row: int) -> tuple[Turn, ...]:
    """The turns of ``prompt`` that stand before the shared ones; none where those are a whole opening."""
    first = record.get("prompt")
    if shared and (shared[0].role != "assistant" or first is None):
        return ()
    value = fields.require(record, "prompt", row)
    if isinstance(value, str):
        return (Turn("user", (value,)),)
    if not isinstance(value, list):
        raise fields.wrong_type("prompt", row, "a string or a list of turns", value)
    return dialogue.turns_of(value, "prompt", row)
