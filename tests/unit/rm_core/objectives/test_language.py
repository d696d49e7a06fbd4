"""The cost of critiques beside the loss on rewards: MM-RLHF's formula, and nothing of it depends on rows."""

import pytest
import torch
from toys import row_for, toy_comparison, toy_reward_model, with_targets

from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.errors import RecipeError, RunError
from rm_core.model.config import HeadConfig
from rm_core.objectives.config import CriticConfig, ObjectiveConfig
from rm_core.objectives.language import check_critiques, with_language
from rm_core.objectives.objective import Objective
from rm_core.objectives.terms import Judged
from rm_core.train_config.check import check_train_config
from rm_core.train_config.config import TrainConfig

MODEL = toy_reward_model(writes="own").eval()
PAIRS = [with_targets(toy_comparison(seed, response_text=9)) for seed in range(3)]


def judged(items: list[EncodedComparison], config: CriticConfig, objective: ObjectiveConfig) -> Judged:
    batch = row_for(MODEL, items)
    with torch.no_grad():
        rewards, costs = MODEL(batch)
    found = Objective(objective)(rewards, batch.labels)
    return with_language(found, costs, batch.targets, config, comparisons=len(items))


def total(found: Judged) -> float:
    """The loss of a step of these rows alone, per Comparison of two responses."""
    return sum(float(term.sum) / term.count for term in found.terms.values())


def test_a_pair_costs_what_mm_rlhf_says() -> None:
    found = judged(PAIRS, CriticConfig(reward_weight=0.5, language_weight=2.0), ObjectiveConfig(zero_coefficient=0.01))
    expected = 0.0
    for item in PAIRS:
        with torch.no_grad():
            rewards, costs = MODEL(row_for(MODEL, [item]))
        lengths = [len(ids) - start for ids, start in zip(item.response_ids, item.target_starts, strict=True)]
        chosen, rejected = (part.mean() for part in costs.split(lengths))
        rank = -torch.nn.functional.logsigmoid(rewards[0] - rewards[1])
        expected += float(0.5 * rank + 0.01 * rewards.sum().square() + 2.0 * (chosen + rejected)) / len(PAIRS)
    assert total(found) == pytest.approx(expected, rel=1e-5)
    assert (found.terms["language"].unit, found.terms["language"].count) == ("comparisons", 3)


def test_rows_add_up() -> None:
    items = [*PAIRS, with_targets(toy_comparison(9, ranks=(1, 0, 2)))]
    whole = judged(items, CriticConfig(), ObjectiveConfig())
    parts = [judged(part, CriticConfig(), ObjectiveConfig()) for part in (items[:1], items[1:3], items[3:])]
    for name, term in whole.terms.items():
        assert sum(float(part.terms[name].sum) for part in parts) == pytest.approx(float(term.sum), rel=1e-5)
        assert sum(part.terms[name].count for part in parts) == term.count
    empty = judged([], CriticConfig(), ObjectiveConfig())
    assert (float(empty.terms["language"].sum), empty.terms["language"].count) == (0.0, 0)


def test_a_response_without_a_critique_is_named() -> None:
    check_critiques(row_for(MODEL, PAIRS))
    with pytest.raises(RunError, match=r"Comparison 'toy-7' has a response without a critique"):
        check_critiques(row_for(MODEL, [PAIRS[0], toy_comparison(7)]))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TrainConfig(critic=CriticConfig(language_weight=0.5)), r"train\.critic is read with train\.paradigm=critic"),
        (TrainConfig(paradigm="critic", head=HeadConfig(pooling="mean")), r"train\.head\.pooling='mean'"),
        (
            TrainConfig(paradigm="critic", objective=ObjectiveConfig(length_normalisation=True)),
            r"length_normalisation=true would count the tokens of critiques",
        ),
        (
            TrainConfig(paradigm="critic", critic=CriticConfig(language_weight=0.0)),
            r"train\.critic\.language_weight=0.0 must be above 0: a model that learns no critiques is scalar",
        ),
        (
            TrainConfig(paradigm="critic", evaluate_every=5, evaluate_suites=["rewardbench"]),
            r"rows of suites have no critiques",
        ),
        (TrainConfig(paradigm="oracle"), r"train\.paradigm='oracle'.*scalar, critic"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(config: TrainConfig, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_train_config(config)
