"""From what a judge wrote to the rewards of answers. Only a verdict that is plainly there counts; none is made up.

texts of one question --read_verdict--> 1, 2 or None --majority--> which answer wins
  -> rewards: the wins of each answer over all others; of two orders that disagree, half a win each
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Reply", "majority", "read_verdict", "rewards_of", "said_in"]

_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_VERDICTS = {"1": 1, "2": 2}


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a judge wrote.

    Attributes:
        verdict: 1 or 2; None: there is none to be read.
        excerpt: the end of the text, in one line.
        tokens_read: of the question, as the server counts; None where it does not say.
        tokens_written: of the answer, thoughts included.
        text: all of it.
    """

    verdict: int | None
    excerpt: str
    tokens_read: int | None
    tokens_written: int | None
    text: str = ""


def read_verdict(text: str) -> int | None:
    """1 or 2 where the text is that alone, or says it in ``<answer>`` tags, always the same; None otherwise.

    What a model thinks aloud before ``</think>`` is no answer.

    >>> read_verdict(" 2 "), read_verdict("<answer>1</answer>"), read_verdict("Answer 1 is better.")
    (2, 1, None)
    """
    return _VERDICTS.get(said_in(text) or "")


def said_in(text: str) -> str | None:
    """What a text says in ``<answer>`` tags, always the same, or where there are none all of it; None otherwise.

    >>> said_in("It does. <answer> yes </answer>"), said_in("yes"), said_in("<answer>a</answer><answer>b</answer>")
    ('yes', 'yes', None)
    """
    if "</think>" in text:
        text = text.rpartition("</think>")[2]
    elif "<think>" in text:
        return None  # it was cut while it thought
    found = {tagged.strip() for tagged in _TAGGED.findall(text)} or {text.strip()}
    return found.pop() if len(found) == 1 else None


def majority(verdicts: Sequence[int | None]) -> float | None:
    """Whether the first answer of a question wins: 1 or 0, 0.5 where as many say so as not, None without a verdict."""
    first, second = verdicts.count(1), verdicts.count(2)
    if not first and not second:
        return None
    return 0.5 if first == second else float(first > second)


def rewards_of(
    num_responses: int, orders: Sequence[tuple[int, int]], verdicts: Sequence[Sequence[int | None]]
) -> tuple[float, ...] | None:
    """Wins of each answer over all others, the mean over the orders of a pair; None where a question has no verdict.

    Args:
        orders: (first, second) of each question, each pair equally often.
        verdicts: of each question, one a sample.

    >>> rewards_of(2, [(0, 1), (1, 0)], [[1], [2]]), rewards_of(2, [(0, 1), (1, 0)], [[1], [1]])
    ((1.0, 0.0), (0.5, 0.5))
    """
    a_pair = len(orders) / (num_responses * (num_responses - 1) / 2)
    rewards = [0.0] * num_responses
    for (first, second), found in zip(orders, verdicts, strict=True):
        wins = majority(found)
        if wins is None:
            return None
        rewards[first] += wins / a_pair
        rewards[second] += (1 - wins) / a_pair
    return tuple(rewards)
