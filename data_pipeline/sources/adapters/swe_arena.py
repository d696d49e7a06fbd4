"""SWE-Arena (BigCodeArena) votes: two models answer one coding task, a person votes after running both programs.

::

    {"instruction": "Draw a clock.", "chat_session_id": "c1", "models": {"model_A": "m1", "model_B": "m2"}, ...,
     "feedback": {"vote_type": "vote_left", "correctness": "vote_left", "ui_ux_design": null, ...},
     "states": {"model_A": {"messages": [["user", "Draw a clock."], ["assistant", "..."]], "roles": [...], ...},
                "model_B": {"messages": [["user", "Draw a clock."], ["assistant", "..."]], ...}}}

``states.model_X.messages`` is read, as ``[role, text]`` pairs or ``{"role", "content"}`` objects; ``instruction`` is
the first user message once more and is not read, nor are the votes on single aspects.

Awkward: the set's card does not say which values ``vote_type`` takes. Inferred from the arena that the set comes from,
which stores ``vote_left``, ``vote_right``, ``vote_tie`` and ``vote_both_bad``: left is A, and a tie or two bad answers
are a tie. ``model_A``, ``A`` and the like, with or without ``vote_``, in upper or lower case, are read the same way;
any other value is refused with the value in the detail, so that nothing is guessed. In a session of several rounds each
model went on from its own answers: no common prompt, refused as ``prompts_differ``.
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, Response, Turn
from data_pipeline.sources.parsing import dialogue, fields

__all__ = ["IRRELEVANT", "to_comparison"]

IRRELEVANT = ("type", "instruction", "models", "feedback.*", "states.model_?.roles")

_RANKS = {
    **dict.fromkeys(("left", "a", "model_a", "modela"), (0, 1)),
    **dict.fromkeys(("right", "b", "model_b", "modelb"), (1, 0)),
    **dict.fromkeys(("tie", "both_good", "bothgood", "both_bad", "bothbad"), (0, 0)),
}


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One vote as a pair, in the order A, B.

    Raises:
        RecordError: missing_field, wrong_field_type, unparsable_label (an unknown vote), malformed_dialogue,
            prompts_differ.
    """
    states = _object(record, "states", row)
    before_a, answer_a = _side(states, "model_A", row)
    before_b, answer_b = _side(states, "model_B", row)
    rank_a, rank_b = _ranks(_object(record, "feedback", row), row)
    return Comparison(
        id=fields.id_of(record, "chat_session_id", row),
        source=source.name,
        prompt=dialogue.shared_prompt(before_a, before_b, row),
        responses=(Response((answer_a,), rank_a), Response((answer_b,), rank_b)),
    )


def _ranks(feedback: Mapping[str, Any], row: int) -> tuple[int, int]:
    vote = fields.text(feedback, "vote_type", row)
    name = vote.strip().lower().removeprefix("vote_")
    if name not in _RANKS:
        raise RecordError(
            "unparsable_label", f"feedback.vote_type in row {row} is {vote[:80]!r}, known: {list(_RANKS)}"
        )
    return _RANKS[name]


def _side(states: Mapping[str, Any], model: str, row: int) -> tuple[tuple[Turn, ...], str]:
    field = f"states.{model}.messages"
    messages = fields.require(_object(states, model, row), "messages", row)
    if not isinstance(messages, list):
        raise fields.wrong_type(field, row, "a list of messages", messages)
    turns = [_as_object(message, f"{field}[{place}]", row) for place, message in enumerate(messages)]
    return dialogue.split_answer(dialogue.turns_of(turns, field, row), field, row)


def _as_object(message: object, field: str, row: int) -> Mapping[str, Any]:
    if isinstance(message, Mapping):
        return message
    if not isinstance(message, list) or len(message) != 2 or not isinstance(message[0], str):
        raise fields.wrong_type(field, row, '[role, text] or {"role", "content"}', message)
    return {"role": message[0].lower(), "content": message[1]}


def _object(record: Mapping[str, Any], field: str, row: int) -> Mapping[str, Any]:
    value = fields.require(record, field, row)
    if not isinstance(value, Mapping):
        raise fields.wrong_type(field, row, "an object", value)
    return value
