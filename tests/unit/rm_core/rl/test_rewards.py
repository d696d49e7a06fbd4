from typing import Any

import pytest
from rl_toys import Counting
from scipy.special import expit

from rm_core.rl.config import RewardConfig, RuleConfig
from rm_core.rl.rewards import AskedGroup, reward_kind
from rm_core.rl.scoring import Group, RowReward, pair_odds, rewards

ANSWERS = ["red", "It is blue", "a very long answer", ""]


def asked(*answers: str) -> AskedGroup:
    return AskedGroup(
        group=Group(turns=[{"role": "user", "content": "?"}], images=[], answers=answers), reference="red"
    )


def given(kind: str, scorer: Counting | None, **config: Any) -> list[float]:
    [found] = reward_kind(RewardConfig(kind=kind, rule=RuleConfig(), **config), scorer)([asked(*ANSWERS)])
    return [one.reward for one in found]


def test_a_rule_asks_no_model() -> None:
    assert given("rule", None) == [1.0, 0.0, 0.0, 0.0]


def test_an_empty_answer_has_the_least_reward_of_its_group_and_is_counted() -> None:
    scorer = Counting()
    [found] = reward_kind(RewardConfig(kind="model"), scorer)([asked(*ANSWERS)])
    assert [one.reward for one in found] == [3, 10, 18, 3]
    assert [one.scored for one in found] == [True, True, True, False]
    assert [row["responses"] for row in scorer.asked] == [ANSWERS[:3]], "the prompt is one row"


def test_pessimism_takes_the_spread_off() -> None:
    assert given("model", Counting(), pessimism=2.0)[:3] == [2, 9, 17]


def test_a_hybrid_reward_is_one_for_the_right_answer_and_a_sigmoid_below_one_for_others() -> None:
    found = given("hybrid", Counting(lambda text: len(text) / 100))
    assert found == pytest.approx([1.0, expit(0.10), expit(0.18), expit(0.10)])


def test_pairwise_rewards_are_sums_over_all_other_answers() -> None:
    found = given("pairwise", Counting(lambda text: {"red": 0.0, "It is blue": 1.0}.get(text, 3.0)))
    odds = [[expit(own - other) for other in (0.0, 1.0, 3.0)] for own in (0.0, 1.0, 3.0)]
    expected = [sum(row) - 0.5 for row in odds]
    assert found == pytest.approx([*expected, min(expected)])


def test_eight_answers_are_compared_in_28_pairs_whose_sums_add_up() -> None:
    scorer = Counting(float)
    group = asked(*(str(number) for number in range(8))).group
    [sums] = pair_odds(scorer, [group], lambda difference: float(expit(difference)))
    assert len(scorer.asked) == 28
    assert sum(one or 0.0 for one in sums) == pytest.approx(28)
    assert sums == sorted(sums)


def test_where_a_row_is_refused_its_answers_are_asked_about_one_by_one() -> None:
    scorer = Counting(refuses=lambda text: "long" in text)
    groups = [asked(*ANSWERS).group, asked("a", "bb").group]
    found = rewards(scorer, groups)
    assert [None if one is None else one.rewards[0] for one in found[0]] == [3, 10, None, None]
    assert [one.rewards[0] for one in found[1] if one is not None] == [1, 2]
    assert found[1][0] == RowReward(rewards=[1.0], spread=[0.5])


def test_a_group_of_which_nothing_can_be_scored_gains_nothing() -> None:
    [found] = reward_kind(RewardConfig(kind="model"), Counting(refuses=lambda text: True))([asked("a", "b")])
    assert [(one.reward, one.scored) for one in found] == [(0.0, False), (0.0, False)]
