"""What is kept of each item that a judge was asked about, and what all of it adds up to.

A kept line has the fields of its item, ``questions`` ([first, second] answers), ``verdicts`` (of each question, one a
sample: 1, 2 or null), ``tokens_read`` and ``tokens_written`` (as the server counts, null where it does not say), and
``rewards``, or ``rewards: null`` and ``error``:

``no_verdict``   no answer to one of its questions could be read: never taken for a verdict
``refused``      the server does not take the question
``unanswered``   no try gave an answer, and `JudgeConfig.unanswered` says that this is wrong
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rm_core.evaluation.judge.questions import Asked
from rm_core.evaluation.judge.verdicts import Reply, majority, rewards_of

__all__ = ["JudgeCounts", "count_lines", "judged_line"]

Orders = Sequence[tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class JudgeCounts:
    """What asking about the items of one file came to."""

    items: int = 0
    questions: int = 0
    """Asked and answered: pairs, times orders, times samples."""
    unread: int = 0
    """Answers in which no verdict could be read."""
    said_first: int = 0
    """Verdicts for the answer that stood first."""
    verdicts: int = 0
    pairs: int = 0
    """Pairs of answers with a verdict in both orders."""
    turned: int = 0
    """Of them, those whose orders disagree: half a win for each answer."""
    tokens_read: int = 0
    """Of all answered questions, as the server counts."""
    tokens_written: int = 0
    """Of all answers."""
    unmetered: int = 0
    """Answers whose tokens the server did not count."""
    not_judged: Mapping[str, int] = field(default_factory=dict)
    """Items without rewards, by reason."""
    repeated: Mapping[str, int] = field(default_factory=dict)
    """Tries without an answer, by kind: each was followed by another one, or by an item without rewards."""


def judged_line(
    asked: Asked, orders: Orders, replies: Sequence[Sequence[Reply]], failure: str | None = None
) -> tuple[str, str | None]:
    """(the line with its line break, why there are no rewards or None).

    Args:
        replies: to each question, those that came.
        failure: why some did not come: ``refused: ...``.
    """
    verdicts = [[one.verdict for one in of_question] for of_question in replies]
    tokens = {
        name: [[getattr(one, name) for one in of_question] for of_question in replies]
        for name in ("tokens_read", "tokens_written")
    }
    fields = {**asked.fields, "questions": orders, "verdicts": verdicts, **tokens}
    rewards = None if failure else rewards_of(len(asked.comparison.responses), orders, verdicts)
    if rewards is not None:
        return _line({**fields, "rewards": rewards}), None
    error = failure or _no_verdict(orders, replies)
    return _line({**fields, "rewards": None, "error": error}), error


def _no_verdict(orders: Orders, replies: Sequence[Sequence[Reply]]) -> str:
    """Of the first question without a verdict, the end of what was written."""
    for (first, second), found in zip(orders, replies, strict=True):
        if majority([one.verdict for one in found]) is None:
            return f"no_verdict: answers {first} and {second} in this order: {found[-1].excerpt!r}"
    raise ValueError("every question has a verdict")


def count_lines(records: Iterable[Mapping[str, Any]], repeated: Mapping[str, int]) -> JudgeCounts:
    """Add up kept lines.

    Args:
        repeated: see `JudgeCounts`.
    """
    found: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for record in records:
        found.update(_counts(record))
        if record["rewards"] is None:
            reasons[record["error"].partition(":")[0]] += 1
    return JudgeCounts(**found, not_judged=dict(sorted(reasons.items())), repeated=dict(sorted(repeated.items())))


def _counts(record: Mapping[str, Any]) -> dict[str, int]:
    said = [verdict for question in record["verdicts"] for verdict in question]
    read, written = (
        [count for question in record[name] for count in question] for name in ("tokens_read", "tokens_written")
    )
    both = _both_orders(record)
    return {
        "items": 1,
        "questions": len(said),
        "unread": said.count(None),
        "said_first": said.count(1),
        "verdicts": len(said) - said.count(None),
        "pairs": len(both),
        "turned": sum(one != other for one, other in both),
        "tokens_read": sum(count for count in read if count is not None),
        "tokens_written": sum(count for count in written if count is not None),
        "unmetered": sum(None in both for both in zip(read, written, strict=True)),
    }


def _both_orders(record: Mapping[str, Any]) -> list[tuple[float, float]]:
    """How often the lower-numbered answer wins a pair, in either order, of pairs that have a verdict in both."""
    found: dict[tuple[int, int], float] = {}
    for (first, second), verdicts in zip(record["questions"], record["verdicts"], strict=True):
        wins = majority(verdicts)
        if wins is not None:
            found[first, second] = wins
    return [(wins, 1 - found[b, a]) for (a, b), wins in found.items() if a < b and (b, a) in found]


def _line(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, allow_nan=False) + "\n"
