"""Verdicts are read strictly, and rewards are wins: nothing that was not plainly said counts."""

import random

import pytest

from rm_core.evaluation.judge.questions import orders_of
from rm_core.evaluation.judge.verdicts import majority, read_verdict, rewards_of


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("1", 1), (" 2\n", 2), ("<answer>1</answer>", 1), ("Both are good. <answer> 2 </answer>", 2),
        ("<answer>1</answer> so <answer>1</answer>", 1), ("<answer>\n2\n</answer>.", 2),
        ("<think>maybe <answer>1</answer></think><answer>2</answer>", 2), ("<think>hm</think>\n1", 1),
        ("", None), ("1.", None), ("Answer 1", None), ("12", None), ("1 2", None), ("0", None), ("-1", None),
        ("\u00b9", None), ("\uff11", None), ("\u0661", None), ("one", None), ("[[1]]", None), ("1 or 2", None),
        ("<answer>1</answer><answer>2</answer>", None), ("<answer></answer>", None), ("<answer>1 or 2</answer>", None),
        ("<answer>1", None), ("<ANSWER>1</ANSWER>", None), ("<answer>A</answer> 1", None), ("\\boxed{1}", None),
        ("<think>cut: <answer>1</answer>", None), ('{"answer": 1}', None),
    ],
)  # fmt: skip
def test_only_a_plain_verdict_is_one(text: str, verdict: int | None) -> None:
    assert read_verdict(text) == verdict


@pytest.mark.parametrize(
    ("verdicts", "wins"),
    [
        ([1], 1.0), ([2], 0.0), ([1, 1, 2], 1.0), ([2, None, 2], 0.0), ([1, 2], 0.5), ([None, 1], 1.0),
        ([1, None, 2], 0.5), ([None], None), ([None, None, None], None),
    ],
)  # fmt: skip
def test_the_majority_of_what_can_be_read(verdicts: list[int | None], wins: float | None) -> None:
    assert majority(verdicts) == wins


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("count", [2, 3, 6])
def test_a_judge_with_a_rule_ranks_as_the_rule(count: int, both: bool) -> None:
    strength = random.Random(count).sample(range(100), count)
    orders = orders_of(count, both=both, key="an item")
    assert len(orders) == count * (count - 1) // (1 if both else 2)
    rewards = rewards_of(count, orders, [[1 if strength[a] > strength[b] else 2] for a, b in orders])
    assert rewards == tuple(sum(one > other for other in strength) for one in strength)


def test_whoever_always_says_first_says_nothing() -> None:
    orders = orders_of(4, both=True, key="")
    assert rewards_of(4, orders, [[1]] * len(orders)) == (1.5, 1.5, 1.5, 1.5)
    assert rewards_of(4, orders, [[1]] * 11 + [[None]]) is None


def test_one_order_is_drawn_by_the_item() -> None:
    drawn = [orders_of(2, both=False, key=f"item {n}")[0] for n in range(200)]
    assert drawn == [orders_of(2, both=False, key=f"item {n}")[0] for n in range(200)]
    assert 70 < drawn.count((0, 1)) < 130
