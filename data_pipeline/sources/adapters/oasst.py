"""OpenAssistant message trees: at every message, the answers that people ranked against each other.

::

    {"message_tree_id": "m1", "tree_state": "ready_for_export", "prompt":
        {"message_id": "m1", "text": "How do bees see?", "role": "prompter", "lang": "en", "replies": [
            {"message_id": "m2", "parent_id": "m1", "text": "...", "role": "assistant", "rank": 1, "replies": []},
            {"message_id": "m3", "parent_id": "m1", "text": "...", "role": "assistant", "rank": 0, "replies": [
                {"message_id": "m4", "text": "And ants?", "role": "prompter", "replies": [...]}]}]}}

Each message with two or more ranked assistant replies is one Comparison: its prompt is the path from the root to that
message, its id the message's id, rank 0 is best. So a record gives several Comparisons, in the order of the tree.

Awkward: ranks hold among siblings only; ``rank`` is absent for prompters, for single replies and for answers that
nobody ranked (left out of their group); a tree may hold no ranked group at all (refused); a reply that is ``deleted``
is left out with all that follows it.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, Response, Turn, ranks_from_scores
from data_pipeline.sources.parsing import fields

__all__ = ["IRRELEVANT", "to_comparisons"]

IRRELEVANT = (
    "message_tree_id",
    "tree_state",
    "*_id",
    "*.lang",
    "*.review_*",
    "*.deleted",
    "*.synthetic",
    "*.model_name",
    "*.emojis",
    "*.rank",
    "*.role",
    "*.text",
    "*.labels",
    "*.detoxify",
    "*.created_date",
    "*.replies",
)

_ROLES = {"prompter": "user", "assistant": "assistant"}

Message = Mapping[str, Any]


def to_comparisons(record: Mapping[str, Any], source: SourceConfig, row: int) -> list[Comparison]:
    """One message tree as a Comparison for each group of ranked siblings.

    Raises:
        RecordError: missing_field, wrong_field_type, unparsable_label (a rank is not finite),
            fewer_than_two_responses (no message has two ranked replies).
    """
    root = fields.require(record, "prompt", row)
    if not isinstance(root, Mapping):
        raise fields.wrong_type("prompt", row, "a message", root)
    made = [
        Comparison(
            id=fields.id_of(path[-1], "message_id", row),
            source=source.name,
            prompt=tuple(_turn(message, row) for message in path),
            responses=_ranked(answers, row),
        )
        for path, answers in _groups(root, row)
        if len(answers) >= 2
    ]
    if not made:
        raise RecordError("fewer_than_two_responses", f"row {row}: no message of the tree has two ranked replies")
    return made


def _groups(root: Message, row: int) -> Iterator[tuple[tuple[Message, ...], list[Message]]]:
    """(the messages from the root to one, its ranked assistant replies) for every message, parents first."""
    paths: list[tuple[Message, ...]] = [(root,)]  # a stack: a tree may be deeper than Python's calls
    while paths:
        path = paths.pop()
        replies = _replies(path[-1], row)
        yield path, [one for one in replies if one.get("role") == "assistant" and one.get("rank") is not None]
        paths += [(*path, reply) for reply in reversed(replies)]


def _replies(message: Message, row: int) -> list[Message]:
    replies = fields.objects(fields.require(message, "replies", row), "replies", row, "a list of messages")
    return [reply for reply in replies if reply.get("deleted") is not True]


def _turn(message: Message, row: int) -> Turn:
    role = fields.text(message, "role", row)
    return Turn(_ROLES.get(role, role), (fields.text(message, "text", row),))


def _ranked(answers: list[Message], row: int) -> tuple[Response, ...]:
    ranks = ranks_from_scores([-_rank(answer, row) for answer in answers])
    return tuple(Response((fields.text(one, "text", row),), rank) for one, rank in zip(answers, ranks, strict=True))


def _rank(answer: Message, row: int) -> float:
    rank = fields.number(answer, "rank", row)
    if not math.isfinite(rank):
        raise RecordError("unparsable_label", f"rank in row {row} is {rank}")
    return rank
