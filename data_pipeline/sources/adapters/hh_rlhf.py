r"""HH-RLHF records: two whole dialogues that part at the last answer; there is no prompt field.

::

    {"chosen": "\n\nHuman: hi\n\nAssistant: Hello!\n\nHuman: bye\n\nAssistant: See you.",
     "rejected": "\n\nHuman: hi\n\nAssistant: Hello!\n\nHuman: bye\n\nAssistant: Go away."}

The prompt is what stands before the last ``\n\nAssistant:``, the answer what follows it.

Awkward, counted in the harmless-base test part (2,312 records): 5 differ before the last turn (refused,
``prompts_differ``: there is no common prompt to judge under); 8 have one speaker twice in a row (kept as two turns);
4 have an empty last answer (refused later, by `records.checks`); one leading space a turn belongs to the format, not
to the text. The text itself may offend.
"""

import re
from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, Response, Turn
from data_pipeline.sources.parsing import fields

__all__ = ["to_comparison"]

_ANSWER = "\n\nAssistant:"
_SPEAKER = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One HH-RLHF record as a pair under its common dialogue.

    Raises:
        RecordError: missing_field, wrong_field_type, malformed_dialogue (does not begin with a speaker or end with
            an answer), prompts_differ.
    """
    prompt, chosen = _split_answer(fields.text(record, "chosen", row), "chosen", row)
    other_prompt, rejected = _split_answer(fields.text(record, "rejected", row), "rejected", row)
    if prompt != other_prompt:
        raise RecordError("prompts_differ", f"row {row}: the dialogues part before the last answer")
    return Comparison(
        id=str(row),
        source=source.name,
        prompt=_turns(prompt, row),
        responses=(Response((chosen,), rank=0), Response((rejected,), rank=1)),
    )


def _split_answer(dialogue: str, field: str, row: int) -> tuple[str, str]:
    prompt, mark, answer = dialogue.rpartition(_ANSWER)
    if not mark:
        raise RecordError("malformed_dialogue", f"{field} in row {row} has no Assistant turn: {dialogue[:80]!r}")
    if _SPEAKER.search(answer):
        raise RecordError("malformed_dialogue", f"{field} in row {row} ends with a Human turn: {answer[-80:]!r}")
    return prompt, answer.strip()


def _turns(prompt: str, row: int) -> tuple[Turn, ...]:
    """The turns of "\\n\\nHuman: hi\\n\\nAssistant: Hello!": what `re.split` gives is ["", speaker, text, ...]."""
    before, *pieces = _SPEAKER.split(prompt)
    if before.strip() or not pieces:
        raise RecordError("malformed_dialogue", f"row {row} does not begin with a speaker: {prompt[:80]!r}")
    speakers, texts = pieces[0::2], pieces[1::2]
    return tuple(Turn(_ROLES[who], (what.strip(),)) for who, what in zip(speakers, texts, strict=True))
