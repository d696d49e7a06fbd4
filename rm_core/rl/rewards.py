"""n answers to a prompt -> n rewards, by one of five kinds, and what is logged of them.

    rule      1 for the right answer, else 0
    model     the reward model's, of an ensemble less `pessimism` standard deviations
    hybrid    1 for the right answer, else the sigmoid of that
    pairwise  sum over the other answers of the probability to be the better one
    verdict   of a judge's text: whether it is right, consistent, and of its form

An answer that cannot be scored, such as an empty one, gets the least that an answer of its group has, so that nothing
is gained by it; it is counted. A judge's text of which nobody could say whether it is consistent gets the mean of its
group, so that nothing is learnt from it; it is counted too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from scipy.special import expit

from data_pipeline.encoding.judge_format import verdict_of
from rm_core.rl.config import RewardConfig
from rm_core.rl.judging import Agreement, Judged, last_word, verdict_reward, why_of
from rm_core.rl.matching import Rule
from rm_core.rl.scoring import Group, RowReward, RowScorer, pair_odds, rewards

__all__ = ["AnswerReward", "AskedGroup", "RewardKind", "reward_kind"]


@dataclass(frozen=True, kw_only=True)
class AskedGroup:
    """A group with the right answer to its prompt."""

    group: Group
    reference: str


@dataclass(frozen=True, kw_only=True)
class AnswerReward:
    """What an answer is worth.

    Attributes:
        reward: what the policy learns from.
        right: whether the rule finds it right.
        scored: False: it could not be scored, and has the least reward of its group.
        undecided: True: another model was to say what it is worth and did not, and it has the mean reward of its group;
            None: no other model is asked.
    """

    reward: float
    right: bool
    scored: bool
    undecided: bool | None = None


class RewardKind(Protocol):
    """Groups of answers -> what they are worth."""

    def __call__(self, asked: Sequence[AskedGroup]) -> list[list[AnswerReward]]:
        """One an answer."""
        ...


def reward_kind(config: RewardConfig, scorer: RowScorer | None, agreement: Agreement | None = None) -> RewardKind:
    """The reward that `config` says.

    Args:
        scorer: asks the reward model; a rule needs none.
        agreement: asks another model whether reasonings agree with their verdicts; None: their last word says it.

    Raises:
        RecipeError: the rule's pattern is none.
    """
    rule = Rule(config.rule)
    if config.kind == "rule":
        return _Rule(rule)
    if config.kind == "verdict":
        return _Verdict(agreement)
    assert scorer is not None, "only a rule needs no reward model"
    if config.kind == "pairwise":
        return _Pairwise(rule, scorer)
    return _Model(rule, scorer, config.pessimism, hybrid=config.kind == "hybrid")


class _Rule:
    def __init__(self, rule: Rule) -> None:
        self._rule = rule

    def __call__(self, asked: Sequence[AskedGroup]) -> list[list[AnswerReward]]:
        return [
            [AnswerReward(reward=float(right), right=right, scored=True) for right in _right(self._rule, one)]
            for one in asked
        ]


class _Verdict:
    """A text without a verdict is no answer that is scored: it has no reward, and is counted.

    Consistency counts for right verdicts alone, so that it is asked for of these alone.
    """

    def __init__(self, agreement: Agreement | None) -> None:
        self._agreement = agreement or last_word
        self._asks = agreement is not None

    def __call__(self, asked: Sequence[AskedGroup]) -> list[list[AnswerReward]]:
        verdicts = [[verdict_of(text) for text in one.group.answers] for one in asked]
        right = [
            [found is not None and str(found + 1) == one.reference for found in own]
            for one, own in zip(asked, verdicts, strict=True)
        ]
        judged = [
            Judged(why=why_of(text), verdict=found)
            for one, own, hits in zip(asked, verdicts, right, strict=True)
            for text, found, hit in zip(one.group.answers, own, hits, strict=True)
            if hit and found is not None
        ]
        agrees = iter(self._agreement(judged))
        return [
            self._group(own, [next(agrees) if hit else False for hit in hits], hits)
            for own, hits in zip(verdicts, right, strict=True)
        ]

    def _group(
        self, verdicts: Sequence[int | None], agrees: Sequence[bool | None], right: Sequence[bool]
    ) -> list[AnswerReward]:
        known = [
            None if sure is None else 0.0 if found is None else verdict_reward(is_right=hit, agrees=sure)
            for found, sure, hit in zip(verdicts, agrees, right, strict=True)
        ]
        sure_ones = [value for value in known if value is not None]
        mean = sum(sure_ones) / len(sure_ones) if sure_ones else verdict_reward(is_right=True, agrees=False)
        return [
            AnswerReward(
                reward=mean if value is None else value,
                right=hit,
                scored=found is not None,
                undecided=value is None if self._asks else None,
            )
            for value, found, hit in zip(known, verdicts, right, strict=True)
        ]


class _Model:
    def __init__(self, rule: Rule, scorer: RowScorer, pessimism: float, *, hybrid: bool) -> None:
        self._rule = rule
        self._scorer = scorer
        self._pessimism = pessimism
        self._hybrid = hybrid

    def __call__(self, asked: Sequence[AskedGroup]) -> list[list[AnswerReward]]:
        found = []
        for one, given in zip(asked, rewards(self._scorer, [one.group for one in asked]), strict=True):
            right = _right(self._rule, one)
            own = [None if row is None else self._value(row) for row in given]
            if self._hybrid:
                own = [1.0 if hit else value for hit, value in zip(right, own, strict=True)]
            found.append(_filled(own, right))
        return found

    def _value(self, row: RowReward) -> float:
        reward = row.rewards[0] - (self._pessimism * row.spread[0] if self._pessimism else 0.0)
        return float(expit(reward)) if self._hybrid else reward


class _Pairwise:
    def __init__(self, rule: Rule, scorer: RowScorer) -> None:
        self._rule = rule
        self._scorer = scorer

    def __call__(self, asked: Sequence[AskedGroup]) -> list[list[AnswerReward]]:
        given = pair_odds(self._scorer, [one.group for one in asked], lambda difference: float(expit(difference)))
        return [_filled(own, _right(self._rule, one)) for own, one in zip(given, asked, strict=True)]


def _right(rule: Rule, asked: AskedGroup) -> list[bool]:
    return [rule.matches(answer, asked.reference) for answer in asked.group.answers]


def _filled(values: Sequence[float | None], right: Sequence[bool]) -> list[AnswerReward]:
    least = min((value for value in values if value is not None), default=0.0)
    return [
        AnswerReward(reward=least if value is None else value, right=hit, scored=value is not None)
        for value, hit in zip(values, right, strict=True)
    ]
