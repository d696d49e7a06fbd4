"""TRL's preferences, text and vision, with the prompt in a column of its own or as what both answers begin with.

::

    {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}
    {"images": ["a.png"],
     "prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Who?"}]}],
     "chosen": [{"role": "assistant", "content": [{"type": "text", "text": "A wren."}]}],
     "rejected": [{"role": "assistant", "content": [{"type": "text", "text": "A trout."}]}]}
    {"chosen": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "A wren."}],
     "rejected": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "A trout."}]}

A string and a list are never mixed by TRL: where ``prompt`` is the one and the answers are the other, the answers hold
the whole dialogue. Parts are those of `parsing.content_parts`; ``images`` or ``image`` lists the pictures of the parts
that name none.

Awkward: strings without ``prompt`` part at their last common character, one earlier where that is a space (as TRL's
own splitting does); a prompt that stands in its column and again in both lists counts once; scores have three names.
"""

import os
from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, Turn
from data_pipeline.sources.parsing import content_parts, fields, ratings
from data_pipeline.sources.parsing.content_parts import Answer, Said

__all__ = ["IRRELEVANT", "to_comparison"]

IRRELEVANT = ("source", "chosen_model", "rejected_model", "*.index")

_SCORES = (("chosen_rating", "rejected_rating"), ("score_chosen", "score_rejected"), ("chosen_score", "rejected_score"))


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One pair, the chosen answer first.

    Raises:
        RecordError: missing_field, wrong_field_type, malformed_dialogue, prompts_differ, empty_prompt (the answers have
            no common beginning), image_slot_mismatch, missing_media, broken_image, unsupported_media.
    """
    image = "image" if "image" in record and "images" not in record else "images"
    media = list(fields.media_of(record.get(image), image, row))
    chosen, rejected = fields.require(record, "chosen", row), fields.require(record, "rejected", row)
    if isinstance(chosen, str) and isinstance(rejected, str):
        prompt, answers = _plain(record, chosen, rejected, len(media), row)
    else:
        said, answers = _dialogues(record, chosen, rejected, row)
        prompt = content_parts.placed(said, media, row)
    name = fields.id_of(record, "id", row)
    return content_parts.pair(prompt, answers, media, name=name, source=source, scores=_scores(record))


def _plain(
    record: Mapping[str, Any], chosen: str, rejected: str, num_images: int, row: int
) -> tuple[tuple[Turn, ...], tuple[Answer, Answer]]:
    """Prompt and answers as strings."""
    if isinstance(record.get("prompt"), str):
        question = record["prompt"]
    else:
        end = len(os.path.commonprefix([chosen, rejected]))  # noqa: RUF071 - of characters, as meant
        end -= chosen[end - 1 : end] == " "  # the space belongs to the answers
        question, chosen, rejected = chosen[:end], chosen[end:], rejected[end:]
        if not question:
            raise RecordError("empty_prompt", f"row {row}: no prompt, and chosen and rejected begin differently")
    return (Turn("user", fields.place_images(question, num_images, row)),), ((chosen,), (rejected,))


def _dialogues(
    record: Mapping[str, Any], chosen: object, rejected: object, row: int
) -> tuple[tuple[Said, ...], tuple[Answer, Answer]]:
    """(turns before the answers, the answers) of lists of turns."""
    before, better = content_parts.split_dialogue(chosen, "chosen", row)
    other, worse = content_parts.split_dialogue(rejected, "rejected", row)
    if before != other:
        raise RecordError("prompts_differ", f"row {row}: the dialogues part before the last answer")
    if not isinstance(record.get("prompt"), list):
        return before, (better, worse)
    opening = content_parts.said_turns(record["prompt"], "prompt", row)
    repeated = bool(opening) and before[: len(opening)] == opening
    return (before if repeated else (*opening, *before)), (better, worse)


def _scores(record: Mapping[str, Any]) -> tuple[float | None, float | None]:
    for better, worse in _SCORES:
        if better in record and worse in record:
            found = ratings.parse_rating(record[better]), ratings.parse_rating(record[worse])
            return (None, None) if None in found else found
    return None, None
