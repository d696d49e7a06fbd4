"""Knock-outs of answers: rewards fit the pairs that were asked about, and of two answers are those of all pairs."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from question_toys import asked
from toys import IMAGE_TOKEN, VIDEO_TOKEN, row_for, toy_comparison, toy_image, toy_reward_model

from data_pipeline.encoding.encoded import EncodedComparison
from rm_core.model.reward_model import RewardModel
from rm_core.scoring.tournament import Bracket, TournamentScorer, drawn_order, pair_of

PADS = (IMAGE_TOKEN, VIDEO_TOKEN)


def played(order: Sequence[int], strengths: Sequence[float]) -> tuple[Bracket, list[tuple[int, int]]]:
    """A knock-out of answers, each of which is better by the difference of their strengths; and who met whom."""
    bracket, met = Bracket(order), []
    while pairs := bracket.pairs:
        met += pairs
        bracket.settle([strengths[first] - strengths[second] for first, second in pairs])
    return bracket, met


@given(strengths=st.lists(st.integers(-50, 50), min_size=1, max_size=17), data=st.data())
def test_rewards_are_the_fit_to_the_pairs_that_met(strengths: list[int], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(strengths))))
    bracket, met = played(order, strengths)
    rewards = np.array(bracket.rewards())
    assert len(met) == len(strengths) - 1
    for first, second in met:
        assert rewards[first] - rewards[second] == pytest.approx(strengths[first] - strengths[second])
    # Margins that fit each other are kept wherever answers meet, so that a tournament orders as all pairs do.
    np.testing.assert_allclose(rewards, np.array(strengths) - np.mean(strengths), atol=1e-9)


@given(values=st.lists(st.floats(-5, 5), min_size=16, max_size=16), count=st.integers(2, 9))
def test_nobody_is_above_the_winner_whatever_is_said(values: list[float], count: int) -> None:
    bracket, said = Bracket(range(count)), iter(values)
    while pairs := bracket.pairs:
        bracket.settle([next(said) for _ in pairs])
    [winner] = bracket._left
    assert max(bracket.rewards()) == bracket.rewards()[winner]


def test_a_tie_gives_equal_rewards() -> None:
    bracket = Bracket([2, 0, 1])
    assert bracket.pairs == [(2, 0)]
    bracket.settle([0.0])
    assert bracket.pairs == [(2, 1)]
    bracket.settle([-3.0])
    assert bracket.rewards() == (-1.0, 2.0, -1.0)


class Judge:
    """As `Scorer`, of a toy."""

    def __init__(self, model: RewardModel) -> None:
        self.model = model
        self.asked = 0

    def score(self, comparisons: Sequence[EncodedComparison], *, blank: bool = False) -> list[tuple[float, ...]]:
        self.asked += len(comparisons)
        batch = row_for(self.model, [asked(item, "all") for item in comparisons])
        with torch.no_grad():
            rewards = self.model(batch).rewards
        return [tuple(part.tolist()) for part in torch.split(rewards, list(batch.num_responses))]


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(toy_reward_model(writes="own", judges=True))


PICTURES = toy_comparison(3, ranks=(0, 1), response_images=(toy_image(2), toy_image(3)), images=(toy_image(0),))
MANY = toy_comparison(1, ranks=(1, 0, 2, 3, 4), response_text=5)


def test_of_two_answers_it_is_all_pairs(judge: Judge) -> None:
    for item in (PICTURES, toy_comparison(2)):
        [found], [expected] = TournamentScorer(judge).score([item]), judge.score([item])  # type: ignore[arg-type]
        assert found == pytest.approx(expected, abs=1e-5)


def test_it_asks_about_fewer_pairs_and_about_the_same_ones_in_any_order(judge: Judge) -> None:
    judge.asked = 0
    several = TournamentScorer(judge).score([MANY, PICTURES])  # type: ignore[arg-type]
    assert judge.asked == 4 + 1 and list(map(len, several)) == [5, 2]
    turned = replace(MANY, response_ids=MANY.response_ids[::-1], ranks=MANY.ranks[::-1])
    [found] = TournamentScorer(judge).score([turned])  # type: ignore[arg-type]
    assert found[::-1] == pytest.approx(several[0], abs=1e-5), "a record's order is not the draw's"


def test_two_answers_of_a_comparison_keep_their_pictures() -> None:
    pair = pair_of(PICTURES, (1, 0), PADS)
    assert [span.key for span in pair.images] == [PICTURES.images[place].key for place in (0, 2, 1)]
    assert pair.ranks == PICTURES.ranks[::-1] and np.array_equal(pair.response_ids[0], PICTURES.response_ids[1])
    assert sorted(drawn_order(PICTURES, PADS)) == [0, 1]
