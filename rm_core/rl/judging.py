"""A judge as the policy: questions about two answers of a Comparison, and what a written verdict is worth.

    prompt with ranked answers -> each pair of which one is better, in a drawn order -> the judge's question
    ``<think>why</think><answer>1</answer>`` -> result x (1 + 0.5 x consistency) + 0.5 x format

Source: Zhang et al. 2025, "R1-Reward" (arXiv 2505.02835): result, format and consistency rewards with these weights.
There another model says whether reasoning and verdict agree; here the reasoning's own last word does.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from data_pipeline.encoding.judge_format import verdict_of
from data_pipeline.errors import MissingInput
from rm_core.rl.prompts import Prompt

__all__ = ["judge_prompts", "verdict_reward"]

CONSISTENCY, FORMAT = 0.5, 0.5
_WHY = re.compile(r"<think>(.*)</think>", re.DOTALL)
_NAMED = re.compile(r"\b([12])\b|\b(first|second)\b", re.IGNORECASE)


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


def verdict_reward(text: str, right: str) -> float:
    """What a judge's text is worth, from 0 to 2.

    >>> verdict_reward("<think>The first is wrong, so 2.</think><answer>2</answer>", "2")
    2.0
    >>> verdict_reward("<think>The first is better: 1.</think><answer>2</answer>", "2"), verdict_reward("2", "2")
    (1.5, 0.0)
    """
    verdict = verdict_of(text)
    if verdict is None:
        return 0.0
    result = float(str(verdict + 1) == right)
    return result * (1.0 + CONSISTENCY * _is_consistent(text, verdict)) + FORMAT


def _is_consistent(text: str, verdict: int) -> bool:
    """Whether the last answer that the reasoning names is the one that wins; one that names none agrees."""
    why = _WHY.search(text)
    named = _NAMED.findall(why[1]) if why else []
    if not named:
        return True
    number, word = named[-1]
    return (int(number) - 1 if number else int(word.lower() == "second")) == verdict
