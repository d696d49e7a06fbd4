"""A judge as the policy: questions about two answers of a Comparison, and what a written verdict is worth.

    prompt with ranked answers -> each pair of which one is better, in a drawn order -> the judge's question
    ``<think>why</think><answer>1</answer>`` -> result x (1 + 0.5 x consistency) + 0.5 x format

Source: Zhang et al. 2025, "R1-Reward" (arXiv 2505.02835): result, format and consistency rewards with these weights.
There another model says whether reasoning and verdict agree; here `last_word` does, the reasoning's own, or a model
too (`rm_core.rl.consistency`).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from data_pipeline.errors import MissingInput
from rm_core.rl.prompts import Prompt

__all__ = ["Agreement", "Judged", "judge_prompts", "last_word", "verdict_reward", "why_of"]

CONSISTENCY, FORMAT = 0.5, 0.5
_WHY = re.compile(r"<think>(.*)</think>", re.DOTALL)
_NAMED = re.compile(r"\b([12])\b|\b(first|second)\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A text with a verdict.

    Attributes:
        why: its reasoning.
        verdict: 0: the first answer is better, 1: the second is.
    """

    why: str
    verdict: int


Agreement = Callable[[Sequence[Judged]], list[bool | None]]
"""Of each text whether its reasoning agrees with its verdict; None: nobody could say."""


def judge_prompts(prompts: Sequence[Prompt], question: str) -> list[Prompt]:
    """A prompt for every pair of answers of which one is better; its right answer is ``1`` or ``2``.

    Which answer stands first is drawn by the pair's content: in about half of them it is the better one.

    Args:
        question: with ``{first}`` and ``{second}``, as the judge was trained to be asked.

    Raises:
        MissingInput: no record has two answers with different ranks.
    """
    found = []
    for one in prompts:
        for better, worse in combinations(range(len(one.answers)), 2):
            if one.ranks[better] == one.ranks[worse] or one.answers[better] == one.answers[worse]:
                continue
            asked = one.about(f"{better} {worse}")
            turned = int(asked.key[-1], 16) % 2 == 1
            first, second = (worse, better) if turned else (better, worse)
            text = _asked(question, one.answers[first], one.answers[second])
            turn = {"role": "user", "content": [{"type": "text", "text": text}]}
            right = "2" if turned else "1"
            found.append(replace(asked, turns=[*one.turns, turn], answers=(right,), ranks=(0,)))
    if not found:
        raise MissingInput("rl.prompts hold no two answers of which one is better: a judge learns from preferences")
    return found


def _asked(question: str, first: str, second: str) -> str:
    """The question with both answers, in which braces mean nothing."""
    before, _, rest = question.partition("{first}")
    between, _, behind = rest.partition("{second}")
    return f"{before}{first}{between}{second}{behind}"


def why_of(text: str) -> str:
    """The reasoning of a text that has a verdict."""
    found = _WHY.search(text)
    assert found is not None, "a text with a verdict has a reasoning"
    return found[1]


def verdict_reward(*, is_right: bool, agrees: bool) -> float:
    """What a text with a verdict is worth, from 0.5 to 2; one without is worth nothing.

    Args:
        agrees: whether the reasoning does with the verdict.

    >>> verdict_reward(is_right=True, agrees=True), verdict_reward(is_right=True, agrees=False)
    (2.0, 1.5)
    >>> verdict_reward(is_right=False, agrees=True)
    0.5
    """
    return float(is_right) * (1.0 + CONSISTENCY * agrees) + FORMAT


def last_word(texts: Sequence[Judged]) -> list[bool | None]:
    """Of each text whether the last answer that its reasoning names is the one that wins; one that names none agrees.

    >>> last_word([Judged(why="The first is wrong, so 2.", verdict=1), Judged(why="So the first.", verdict=1)])
    [True, False]
    """
    return [_is_consistent(one.why, one.verdict) for one in texts]


def _is_consistent(why: str, verdict: int) -> bool:
    named = _NAMED.findall(why)
    if not named:
        return True
    number, word = named[-1]
    return (int(number) - 1 if number else int(word.lower() == "second")) == verdict
