"""A judge's step has one gradient, however it is split into ranks and rows: that of its questions asked alone."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from distributed_ranks import run_ranks
from prepared_toys import mixed_toy, write_toy
from question_toys import asked, reasoned, separate_reasonings, separate_verdicts
from separate_rows import assert_equal_gradients, gradients
from sharding import How
from split_steps import step_gradient
from torch import Tensor
from toys import toy_comparison, toy_image, toy_reward_model

from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.errors import RecipeError
from rm_core.evaluation.curve import curve_numbers
from rm_core.evaluation.while_training import evaluation_sets
from rm_core.model.config import InitModelConfig
from rm_core.model.reward_model import RewardModel
from rm_core.model_folder.initialise import initialise_model
from rm_core.model_folder.paradigm import paradigm_of, question_of
from rm_core.objectives.config import ObjectiveConfig
from rm_core.objectives.objective import Objective
from rm_core.objectives.verdict import REASONING, VERDICT
from rm_core.packing.plan import PackBudget
from rm_core.scoring.scorer import Scorer, score_rows
from rm_core.train_config.config import OptimizerConfig, TrainConfig, ZeroConfig
from rm_core.train_config.generative import GenerativeConfig
from rm_core.training.accumulation import Accumulator
from rm_core.training.engines.interface import Engine
from rm_core.training.trainer import Hooks
from rm_core.training.worker import train_rank

ITEMS = [
    asked(toy_comparison(0, ranks=(0, 1, 1), response_text=3)),
    asked(toy_comparison(1, images=(toy_image(0),), response_text=3), "one"),
    asked(toy_comparison(2, ranks=(1, 0), response_text=3)),
    asked(toy_comparison(3, ranks=(0, 0))),
]
"""One of them a tie, which asks nothing."""
REASONED = [
    reasoned(toy_comparison(0, ranks=(0, 1, 1), response_text=3)),
    reasoned(toy_comparison(1, images=(toy_image(0),), response_text=3)),
]
Case = tuple[How, str]
CASES: list[Case] = [
    (3, "few rows"), (2, "one Comparison a row"), (0, "few rows"),
    ("fsdp-3", "few rows"), ("fsdp-2-step", "one Comparison a row"),
]  # fmt: skip


def split_gradients(cases: list[Case]) -> dict[Case, tuple[dict[str, Tensor], float]]:
    found = {case: split_gradient(*case) for case in cases}
    model = toy_reward_model(writes="own", judges=True)
    accumulator = partial(_accumulator, term=REASONING)
    own, sums = step_gradient(model, REASONED, accumulator, paradigm="generative", how=2, budget="roomy")
    return found | {(2, REASONING): (own, sums["loss_reasoning"] / sums["count_reasoning"])}


def split_gradient(how: How, budget: str) -> tuple[dict[str, Tensor], float]:
    """The step's gradient and loss."""
    model = toy_reward_model(writes="own", judges=True)
    found, sums = step_gradient(model, ITEMS, _accumulator, paradigm="generative", how=how, budget=budget)
    return found, sums["loss_verdict"] / sums["count_verdict"]


def _accumulator(engine: Engine, model: RewardModel, phases: Any, term: str = VERDICT) -> Accumulator:
    return Accumulator(engine, model, Objective(ObjectiveConfig()), phases, judges=term)


def test_the_gradient_is_that_of_questions_asked_alone(tmp_path: Path) -> None:
    model = toy_reward_model(writes="own", judges=True)
    total, pairs = torch.zeros(()), 0.0
    for item in ITEMS[:3]:
        assert item.questions is not None
        costs = separate_verdicts(model, item)
        right = torch.tensor(item.questions.right)
        weights = torch.tensor(item.questions.weights)
        total = total + (costs[torch.arange(len(right)), right] * weights).sum()
        pairs += sum(item.questions.weights)
    expected = gradients(model, total / pairs)
    steps = run_ranks(split_gradients, 2, tmp_path, CASES)[0]
    gradient, of_reasonings = steps.pop((2, REASONING))
    for found, loss in steps.values():
        assert_equal_gradients(found, expected)
        assert loss == pytest.approx(float(total.detach() / pairs), rel=1e-5)
    mean = sum((separate_reasonings(model, item) for item in REASONED), torch.zeros(())) / 3
    assert_equal_gradients(gradient, gradients(model, mean))
    assert of_reasonings == pytest.approx(float(mean.detach()), rel=1e-5)


def train(path: str) -> list[dict[str, float]]:
    """What two steps under ZeRO-3 logged, evaluations among it; the judge lies in ``export``."""
    folder = Path(path)
    config = TrainConfig(
        paradigm="generative", model=str(folder / "model"), data=str(folder / "shards"), output=str(folder / "train"),
        cache_dir=str(folder / "cache"), precision="fp32", zero=ZeroConfig(stage=3), global_batch=4, max_steps=2,
        token_budget=4000, log_every=1, evaluate_every=1,
        optimizer=OptimizerConfig(learning_rate=1e-2, warmup_ratio=0.0),
    )  # fmt: skip
    points: list[dict[str, float]] = []

    def seen(_steps: int, numbers: Mapping[str, float]) -> None:
        points.append(dict(numbers))

    hooks = Hooks(
        begin=lambda steps: None, log=seen, before_save=lambda: None, stop=lambda: False, note=print, evaluated=seen
    )
    train_rank(config, hooks, export_to=str(folder / "export"), lineage={}, make_sets=evaluation_sets)
    return points


def test_a_judge_trains_evaluates_and_scores_alike(tmp_path: Path) -> None:
    write_toy(tmp_path / "shards", mixed_toy(30))
    model = InitModelConfig(output=str(tmp_path / "model"), tokenizer=str(tmp_path / "toy-model"), language_head=True)
    initialise_model(model, PreprocessConfig(), train_tokenizer=lambda folder: None)
    points = run_ranks(train, 2, tmp_path / "results", str(tmp_path))[0]
    assert len([point for point in points if "train/loss" in point]) == 2
    export = str(tmp_path / "export")
    assert paradigm_of(export) == "generative" and question_of(export) == GenerativeConfig().asked
    data = PreparedData.open(str(tmp_path / "shards"))
    scorer = Scorer(export, PackBudget(tokens=4000, patches=4000))
    rows = data.split_indices("heldout").tolist()
    found = [one for chunk in score_rows(scorer, data, rows, blank_images=True) for one in chunk]
    scores = [replace(one, group=str(place)) for place, one in enumerate(found)]
    last = [point for point in points if "eval/log_loss" in point][-1]
    expected = curve_numbers(scores)
    assert {name: last[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    assert {len(one.rewards) for one in scores} == {2, 3, 4}
    for one in scores:
        assert sum(one.rewards) == pytest.approx(0, abs=1e-5)
    alone = data.encoded(rows[0])
    with pytest.raises(RecipeError, match="has one response, and a generative reward model compares two"):
        scorer.score([replace(alone, response_ids=alone.response_ids[:1], ranks=(0,), scores=(None,))])
