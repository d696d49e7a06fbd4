"""Why one answer is better, as a language model wrote it: a reasoning counts where its verdict is the record's.

    Comparison -> pairs of which one answer is better, each in one order or both --asked--> texts
      -> `why_of`: what stands in front of the verdict -> the first that agrees -> a record with ``reasonings``

A record's ``reasonings_by`` says what became of its texts: ``agreed``, ``disagreed`` with the record, ``unread``
(without a verdict, or without a reason), and the tokens, as the server counts; ``error`` where a pair has no reasoning.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from data_pipeline.encoding.judge_format import has_tag
from rm_core.evaluation.judge.config import JudgeConfig
from rm_core.evaluation.judge.questions import Asked, orders_of
from rm_core.evaluation.judge.verdicts import Reply, read_verdict

__all__ = ["labelled_orders", "reasoned_line", "why_of"]

_THOUGHTS = re.compile(r"<think>(.*?)</think>(.*)", re.DOTALL)
Orders = Sequence[tuple[int, int]]


def labelled_orders(asked: Asked, config: JudgeConfig, name: str) -> list[tuple[int, int]]:
    """(first, second) answers of each question: of the pairs of which one is better, and that have no reasoning yet.

    Args:
        name: draws the order of each pair, where it is written about in one.
    """
    ranks = [response.rank for response in asked.comparison.responses]
    given = {frozenset((one.first, one.second)) for one in asked.comparison.reasonings if one.text.strip()}
    return [
        (first, second)
        for first, second in orders_of(len(ranks), both=config.both_orders, key=name)
        if ranks[first] != ranks[second] and frozenset((first, second)) not in given
    ]


def why_of(text: str) -> str | None:
    """What stands in front of a verdict that can be read; thoughts where nothing else does. None: there is nothing.

    >>> why_of("Answer 1 is wrong. <answer>2</answer>"), why_of("2")
    ('Answer 1 is wrong.', None)
    """
    if read_verdict(text) is None:
        return None
    found = _THOUGHTS.search(text)
    thoughts, said = found.groups() if found else ("", text)
    shown, tag, _ = said.partition("<answer>")
    why = (shown.strip() if tag else "") or thoughts.strip()
    return why if why and not has_tag(why) else None


def reasoned_line(
    asked: Asked, orders: Orders, replies: Sequence[Sequence[Reply]], failure: str | None = None
) -> tuple[str, str | None]:
    """(the record with its reasonings and its line break, why it lacks one or None).

    Args:
        asked: its `fields` are the record.
        replies: to each question, those that came.
        failure: why some did not come, or nothing was asked.
    """
    counts: Counter[str] = Counter()
    ranks = [response.rank for response in asked.comparison.responses]
    found: list[dict[str, Any]] = []
    for (first, second), texts in zip(orders, replies, strict=False):
        right = 1 if ranks[first] < ranks[second] else 2
        agreed = [why for why in (_counted(one, right, counts) for one in texts) if why is not None]
        found += [{"first": first, "second": second, "text": why} for why in agreed[:1]]
    every = [one for texts in replies for one in texts]
    by: dict[str, Any] = {name: counts[name] for name in ("agreed", "disagreed", "unread")}
    by |= {name: sum(getattr(one, name) or 0 for one in every) for name in ("tokens_read", "tokens_written")}
    by["unmetered"] = sum(None in (one.tokens_read, one.tokens_written) for one in every)
    error = failure or _missing(orders, found)
    if error is not None:
        by["error"] = error
    record = {**asked.fields, "reasonings": [*asked.fields.get("reasonings", ()), *found], "reasonings_by": by}
    return json.dumps(record, allow_nan=False) + "\n", error


def _counted(reply: Reply, right: int, counts: Counter[str]) -> str | None:
    """The reasoning of a text that agrees with the record."""
    why = why_of(reply.text)
    kind = "unread" if why is None else "agreed" if reply.verdict == right else "disagreed"
    counts[kind] += 1
    return why if kind == "agreed" else None


def _missing(orders: Orders, found: Sequence[dict[str, Any]]) -> str | None:
    written = {frozenset((one["first"], one["second"])) for one in found}
    for first, second in map(sorted, orders):
        if frozenset((first, second)) not in written:
            return f"no_reasoning: no text about answers {first} and {second} agrees with the record"
    return None
