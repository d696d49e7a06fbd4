"""ms-swift's preferences: a dialogue that ends with the chosen answer, and the rejected one beside it.

::

    {"messages": [{"role": "user", "content": "<image>Who?"}, {"role": "assistant", "content": "A wren."}],
     "rejected_response": "A trout.", "images": ["a.png"]}
    {"messages": [...], "rejected_messages": [...], "images": ["a.png"]}
    {"query": "Who?", "response": "A wren.", "rejected_response": "A trout.", "history": [["Hi", "Hello"]]}

Pictures stand at ``<image>`` tags or in parts (`parsing.content_parts`), else before the first question. The last form
is that of older versions, with ``system`` beside it.

Awkward: ``rejected_images`` puts another picture under the rejected answer, so there is no common prompt (refused,
``prompts_differ``); ``objects`` fills marks in the texts with boxes (refused, ``unsupported_media``, as are videos and
sound); ``<video>`` tags are refused by what they lead to.
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.parsing import content_parts, fields
from data_pipeline.sources.parsing.content_parts import Answer, Said

__all__ = ["IRRELEVANT", "to_comparison"]

IRRELEVANT = ("*messages.loss", "*messages.loss_scale", "channel")


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One pair, the chosen answer first.

    Raises:
        RecordError: missing_field, wrong_field_type, malformed_dialogue (a dialogue does not end with an assistant
            turn), prompts_differ, image_slot_mismatch, missing_media, broken_image, unsupported_media.
    """
    _refuse_unsupported(record, row)
    media = list(fields.media_of(record.get("images"), "images", row))
    said, chosen = (
        _older(record, row)
        if "query" in record
        else content_parts.split_dialogue(fields.require(record, "messages", row), "messages", row)
    )
    rejected = _rejected(record, said, row)
    prompt = content_parts.placed(said, media, row)
    name = fields.id_of(record, "id", row)
    return content_parts.pair(prompt, (chosen, rejected), media, name=name, source=source)


def _refuse_unsupported(record: Mapping[str, Any], row: int) -> None:
    for name in ("videos", "audios", "objects"):
        if record.get(name):
            raise RecordError("unsupported_media", f"{name} in row {row}: only images are read")
    if record.get("rejected_images"):
        raise RecordError("prompts_differ", f"rejected_images in row {row}: the answers are under different pictures")


def _rejected(record: Mapping[str, Any], said: tuple[Said, ...], row: int) -> Answer:
    if "rejected_messages" not in record:
        return (fields.text(record, "rejected_response", row),)
    other, rejected = content_parts.split_dialogue(record["rejected_messages"], "rejected_messages", row)
    if other != said:
        raise RecordError("prompts_differ", f"row {row}: the dialogues part before the last answer")
    return rejected


def _older(record: Mapping[str, Any], row: int) -> tuple[tuple[Said, ...], Answer]:
    turns: list[dict[str, str]] = []
    if record.get("system"):
        turns.append({"role": "system", "content": fields.text(record, "system", row)})
    history = record.get("history") or []
    if not isinstance(history, list) or not all(_is_exchange(one) for one in history):
        raise fields.wrong_type("history", row, "a list of [question, answer]", history)
    for question, answer in history:
        turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    turns.append({"role": "user", "content": fields.text(record, "query", row)})
    return content_parts.said_turns(turns, "query", row), (fields.text(record, "response", row),)


def _is_exchange(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(one, str) for one in value)
