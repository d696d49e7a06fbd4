r"""R1-Reward: flat pairs, and the rows it was trained on, where the answers stand in a judge's prompt.

::

    {"id": "7", "prompt": "How many cups?", "chosen": "Two.", "rejected": "Three.", "image": "img/7.jpg",
     "chosen_reason": "...", "rejected_reason": "..."}

    {"question": "How many cups?", "answer": ["<answer>2</answer>"], "image": "iVBORw0KGgo...",
     "message": "[{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"...
                 ###### [Response 1]:\nThree.  \n\n###### [Response 2]:\nTwo.  \n\n###### **Output Format ...\"},
                 {\"type\": \"image\", \"image\": \"/elsewhere/7.jpg\"}]}]"}

``answer`` is the number of the better response. Which form a record has is told by ``message``.

Known, from the authors' README and code: the fields, the JSON in ``message``, the form of ``answer``, and the marks of
the judge's prompt. Inferred, because the parquet files were not at hand: that their ``image`` is base64 (from their
size), and that all their prompts have those marks.

Awkward: ``message`` is a chat as JSON in a string; its image path is of the authors' machine, so that ``image`` (base64
or a path) goes first; a prompt whose responses cannot be told apart is refused (``no_answers_found``).
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, MediaRef
from data_pipeline.sources.adapters import mm_rlhf
from data_pipeline.sources.parsing import fields, image_turns, judge_prompts

__all__ = ["IRRELEVANT", "to_comparison"]

IRRELEVANT = ("chosen_reason", "rejected_reason", "message.content.image")

_ANSWER = re.compile(r"\s*(?:<answer>\s*([12])\s*</answer>|([12]))\s*")
_RANKS = {"1": (0, 1), "2": (1, 0)}


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One pair; of a judge's prompt in the order of the prompt.

    Raises:
        RecordError: missing_field, wrong_field_type, unparsable_label (neither 1 nor 2), no_answers_found,
            missing_media, broken_image, image_slot_mismatch.
    """
    if "message" not in record:
        return mm_rlhf.to_comparison(record, source, row)
    question = fields.text(record, "question", row)
    ranks = _RANKS[_better(record, row)]
    items = _items(record, row)
    prompt = "".join(fields.text(item, "text", row) for item in items if item.get("type") == "text")
    found = judge_prompts.judged(prompt, [judge_prompts.NUMBERED], "message", row)
    return image_turns.one_question(
        question,
        _media(record, items, row),
        list(zip((found.first, found.second), ranks, strict=True)),
        name=fields.id_of(record, "id", row),
        source=source,
        row=row,
    )


def _better(record: Mapping[str, Any], row: int) -> str:
    value = fields.require(record, "answer", row)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    match = _ANSWER.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise RecordError(
            "unparsable_label", f"answer in row {row} is {str(value)[:80]!r}, not <answer>1</answer> or 2"
        )
    return match[1] or match[2]


def _items(record: Mapping[str, Any], row: int) -> list[Mapping[str, Any]]:
    """The content items of the user's turns."""
    chat = fields.parsed_json(record, "message", row, "a chat as JSON")
    chat = fields.objects(chat, "message", row, "a list of turns as JSON in a string")
    items: list[Mapping[str, Any]] = []
    for turn in chat:
        content = fields.require(turn, "content", row)
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        content = fields.objects(content, "message.content", row, "a string or a list of objects")
        if turn.get("role") == "user":
            items += content
    return items


def _media(record: Mapping[str, Any], items: list[Mapping[str, Any]], row: int) -> tuple[MediaRef, ...]:
    value = record.get("image")
    if isinstance(value, str) and value and "." not in value and not value.startswith("data:"):
        return (MediaRef(data=_decoded(value, row)),)  # base64 knows no dot, and a path of an image has one
    if value is not None and value != "":
        return image_turns.needed_media(record, "image", row)
    named = [item.get("image") for item in items if item.get("type") == "image"]
    return image_turns.needed_media({"message.image": named}, "message.image", row)


def _decoded(value: str, row: int) -> bytes:
    try:
        return base64.b64decode("".join(value.split()), validate=True)  # some encoders break the lines
    except (binascii.Error, ValueError) as error:
        raise RecordError("broken_image", f"image in row {row}: {error} in {value[:60]!r}") from error
