"""Verdicts of a judge: packed questions equal questions asked alone, and rewards say what the verdicts say."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from question_toys import asked, reasoned, separate_reasonings, separate_verdicts
from separate_rows import assert_equal_gradients, gradients
from toys import prepared_for, row_for, toy_comparison, toy_image, toy_reward_model

from data_pipeline.encoding.encoder import EncodedComparison
from rm_core.model.reward_model import RewardModel
from rm_core.model.verdicts import log_odds
from rm_core.objectives.config import ObjectiveConfig
from rm_core.objectives.objective import Objective
from rm_core.objectives.verdict import REASONING, VERDICT, with_reasonings, with_verdicts

ITEMS = [
    toy_comparison(0, images=(toy_image(0),)),
    toy_comparison(1, ranks=(1, 0, 2), response_text=20),
    toy_comparison(2, ranks=(0, 0)),
    toy_comparison(3, response_images=(toy_image(2), toy_image(3))),
]
"""One of them a tie, about which a training asks nothing."""


def loss_of(model: RewardModel, items: list[EncodedComparison]) -> torch.Tensor:
    """Of a step that these Comparisons are."""
    batch = row_for(model, items)
    rewards, costs = model(batch)
    judged = Objective(ObjectiveConfig())(rewards, batch.labels)
    term = with_verdicts(judged, costs, batch.verdicts, pairs=batch.labels.num_pairs).terms[VERDICT]
    assert (term.unit, term.count) == ("pairs", batch.labels.num_pairs)
    return term.sum / term.count


@pytest.mark.parametrize("model_type", ["qwen2_5_vl", "qwen3_vl", "qwen3"])
@pytest.mark.parametrize("orders", ["both", "one"])
def test_verdicts_and_gradients_equal_questions_alone(model_type: str, orders: str) -> None:
    model = toy_reward_model(model_type=model_type, writes="own", judges=True)
    items = [asked(item, orders) for item in (ITEMS if model.family.has_vision else ITEMS[1:3])]
    found = gradients(model, loss_of(model, items))
    costs = model(row_for(model, items)).costs.view(-1, 2)
    shown = [prepared_for(model.row_format.images, item) for item in items]
    separate = torch.cat([separate_verdicts(model, item) for item in shown if item.response_ids])
    torch.testing.assert_close(costs, separate, rtol=1e-5, atol=1e-5)
    right = torch.tensor([one for item in items if item.questions for one in item.questions.right])
    touch = sum((value.sum() * 0.0 for value in model.parameters()), torch.zeros(()))
    expected = gradients(model, separate[torch.arange(len(right)), right].mean() + touch)
    assert_equal_gradients(found, expected)


@pytest.mark.parametrize("model_type", ["qwen2_5_vl", "qwen3"])
def test_reasonings_and_gradients_equal_questions_alone(model_type: str) -> None:
    model = toy_reward_model(model_type=model_type, writes="own", judges=True)
    items = [reasoned(item) for item in (ITEMS if model.family.has_vision else ITEMS[1:3])]
    batch = row_for(model, items)
    rewards, costs = model(batch)
    judged = Objective(ObjectiveConfig())(rewards, batch.labels)
    term = with_reasonings(judged, costs, batch.targets, batch.verdicts, pairs=batch.labels.num_pairs).terms[REASONING]
    shown = [prepared_for(model.row_format.images, item) for item in items]
    separate = sum((separate_reasonings(model, item) for item in shown if item.response_ids), torch.zeros(()))
    torch.testing.assert_close(term.sum, separate, rtol=1e-5, atol=1e-5)
    found = gradients(model, term.sum / term.count)
    assert_equal_gradients(found, gradients(model, separate / batch.labels.num_pairs))


def test_rewards_while_it_trains_are_what_it_says_behind_given_reasonings() -> None:
    model = toy_reward_model(writes="own", judges=True)
    item = reasoned(ITEMS[1])
    with torch.no_grad():
        rewards, costs = model(row_for(model, [item]))
    assert item.questions is not None
    places = [len(ids) - item.questions.behind for ids in item.response_ids]
    for number, (ids, place) in enumerate(zip(item.response_ids, places, strict=True)):
        alone = replace(item, response_ids=(ids[:place],), target_starts=())
        expected = separate_verdicts(model, alone)[0]
        torch.testing.assert_close(costs[2 * number : 2 * number + 2], expected, rtol=1e-5, atol=1e-5)
    assert rewards.shape == (3,) and float(rewards.sum()) == pytest.approx(0, abs=1e-5)


def rewards_of(model: RewardModel, *items: EncodedComparison) -> torch.Tensor:
    with torch.no_grad():
        rewards: torch.Tensor = model(row_for(model, [asked(item, "all") for item in items])).rewards
    return rewards


def test_turning_the_answers_round_turns_the_rewards_round() -> None:
    model = toy_reward_model(writes="tied", judges=True)
    item = ITEMS[0]
    turned = replace(item, response_ids=item.response_ids[::-1], ranks=item.ranks[::-1])
    torch.testing.assert_close(rewards_of(model, turned), rewards_of(model, item).flip(0), rtol=1e-5, atol=1e-5)
    odds = log_odds(separate_verdicts(model, asked(item, "both")).detach().flatten())
    difference = rewards_of(model, item)[0] - rewards_of(model, item)[1]
    torch.testing.assert_close(difference, (odds[0] - odds[1]) / 2, rtol=1e-5, atol=1e-5)


def test_rewards_of_many_answers_fit_all_verdicts_by_least_squares() -> None:
    model = toy_reward_model(writes="tied", judges=True)
    item = asked(toy_comparison(7, ranks=(0, 1, 2, 3)), "all")
    assert item.questions is not None
    with torch.no_grad():
        rewards, costs = model(row_for(model, [item]))
    design = np.zeros((len(item.questions.pairs), 4))
    for row, (first, second) in enumerate(item.questions.pairs):
        design[row, first], design[row, second] = 1, -1
    fitted = np.linalg.lstsq(design, log_odds(costs).numpy(), rcond=None)[0]
    np.testing.assert_allclose(rewards.numpy(), fitted, atol=1e-5)


def test_what_shares_the_row_changes_no_reward() -> None:
    model = toy_reward_model(writes="own", judges=True)
    together = rewards_of(model, *ITEMS)
    alone = torch.cat([rewards_of(model, item) for item in ITEMS])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_an_idle_row_touches_every_weight() -> None:
    model = toy_reward_model(writes="own", judges=True)
    rewards, costs = model(row_for(model, []))
    assert rewards.shape == costs.shape == (0,)
    assert not gradients(model, rewards.sum() + costs.sum())["lm_head.weight"].any()


def test_only_a_judge_reads_questions() -> None:
    judge, scalar = toy_reward_model(writes="own", judges=True), toy_reward_model(writes="own")
    with pytest.raises(ValueError, match="asks a judge nothing"):
        row_for(judge, ITEMS[:1])
    with pytest.raises(ValueError, match="asks for verdicts, or the model gives them, but not both"):
        scalar(row_for(judge, [asked(ITEMS[0])]))
