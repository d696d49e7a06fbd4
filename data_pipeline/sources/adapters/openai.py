"""OpenAI's preferences, as its fine-tuning by preferences takes them, with pictures as links or data URLs.

::

    {"input": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Who?"},
                                                         {"type": "image_url", "image_url": {"url": "data:..."}}]}]},
     "preferred_output": [{"role": "assistant", "content": "A wren."}],
     "non_preferred_output": [{"role": "assistant", "content": "A trout."}]}

Awkward: an output is a list of one turn; ``input`` may offer tools (refused where there are any, ``unread_field``).
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, MediaRef
from data_pipeline.sources.parsing import content_parts, fields

__all__ = ["IRRELEVANT", "to_comparison"]

IRRELEVANT = ("input.parallel_tool_calls",)


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One pair, the preferred output first.

    Raises:
        RecordError: missing_field, wrong_field_type, malformed_dialogue (an output is no single assistant turn),
            image_slot_mismatch, missing_media, broken_image, unsupported_media, unread_field (tools).
    """
    given = fields.objects([fields.require(record, "input", row)], "input", row, 'an object {"messages"}')[0]
    if given.get("tools"):
        raise RecordError("unread_field", f"input.tools in row {row}: calls of tools are not read")
    said = content_parts.said_turns(fields.require(given, "messages", row), "input.messages", row)
    media: list[MediaRef] = []
    prompt = content_parts.placed(said, media, row)
    answers = _output(record, "preferred_output", row), _output(record, "non_preferred_output", row)
    return content_parts.pair(prompt, answers, media, name=fields.id_of(record, "id", row), source=source)


def _output(record: Mapping[str, Any], field: str, row: int) -> content_parts.Answer:
    turns = fields.objects(fields.require(record, field, row), field, row, "a list of one assistant turn")
    if len(turns) != 1:
        raise RecordError("malformed_dialogue", f"{field} in row {row} has {len(turns)} turns, not the answer alone")
    return content_parts.answer_items(turns[0], field, row)
