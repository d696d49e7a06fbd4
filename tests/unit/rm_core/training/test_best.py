"""Which evaluation is the best, what its checkpoint is ranked by, and when a training ends early."""

from collections.abc import Mapping
from typing import Any

import pytest

from data_pipeline.errors import RecipeError
from rm_core.train_config.check import check_train_config
from rm_core.train_config.config import TrainConfig
from rm_core.training.best import Evaluations

NUM_STEPS = 95


class Numbers:
    """Stands for a group: gives one number after the other, or is stopped."""

    def __init__(self, *values: float | None) -> None:
        self.values = list(values)
        self.asked: list[bool] = []

    def run(self, *, may_stop: bool) -> dict[str, float] | None:
        self.asked.append(may_stop)
        value = self.values.pop(0)
        return None if value is None else {"eval/accuracy": value, "eval/log_loss": value}


def evaluations(*values: float | None, **changes: Any) -> tuple[Evaluations, list[int], Numbers]:
    steps: list[int] = []

    def log(step: int, numbers: Mapping[str, float]) -> None:
        steps.append(step)

    config = TrainConfig(**{"evaluate_every": 10, "best_metric": "eval/accuracy"} | changes)
    group: Any = Numbers(*values)
    return Evaluations(group, config, NUM_STEPS, log), steps, group


def test_every_so_many_steps_and_the_last_one_are_evaluated_once() -> None:
    found, steps, group = evaluations(*[0.5] * 10)
    for step in range(NUM_STEPS + 1):
        assert found.after(step) and found.after(step)
    assert steps == [10, 20, 30, 40, 50, 60, 70, 80, 90, 95]
    assert group.asked == [True] * 9 + [False], "the last one is not cut short: the export follows"


@pytest.mark.parametrize(("metric", "scores"), [("eval/accuracy", [-0.5, -0.7]), ("eval/log_loss", [0.5, 0.7])])
def test_a_checkpoint_is_ranked_by_the_evaluation_of_its_step(metric: str, scores: list[float]) -> None:
    found, _, _ = evaluations(0.5, 0.7, best_metric=metric)
    for step, score in zip((10, 20), scores, strict=True):
        found.after(step)
        assert found.score(step, 9.0) == score
    assert found.score(25, 9.0) is None, "stopped between two evaluations"
    of_training, _, _ = evaluations(0.5, best_metric="train/loss")
    assert of_training.after(10) and of_training.score(10, 9.0) == of_training.score(15, 9.0) == 9.0


def test_a_training_ends_after_as_many_evaluations_without_a_better_one_as_it_may_have() -> None:
    found, _, _ = evaluations(0.6, 0.7, 0.65, 0.7, early_stopping=2)
    ends = []
    for step in (10, 20, 30, 40):
        found.after(step)
        ends.append(found.ended)
    assert ends[:3] == ["", "", ""]
    assert ends[3] == (
        "no better eval/accuracy in 2 evaluations (train.early_stopping=2): 0.7000 after step 40, the best was 0.7000 "
        "after step 20"
    )
    patient, _, _ = evaluations(early_stopping=3)
    patient.restore(found.state)
    assert not patient.ended, "more patience goes on from the same checkpoint"
    at_the_end, _, _ = evaluations(0.6, 0.5, early_stopping=1, evaluate_every=85)
    assert at_the_end.after(85) and at_the_end.after(95) and not at_the_end.ended, "the plan is done"


def test_what_a_stop_cut_short_is_made_up_for_and_counting_goes_on() -> None:
    found, steps, _ = evaluations(0.6, None, early_stopping=1)
    assert found.after(10) and not found.after(20) and steps == [10]
    resumed, steps, _ = evaluations(0.5, early_stopping=1)
    resumed.restore(found.state)
    assert resumed.after(20) and steps == [20] and resumed.ended.endswith("the best was 0.6000 after step 10")


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"best_metric": "eval/accuracy"}, "train.evaluate_every=0 makes none"),
        ({"evaluate_every": 5, "early_stopping": 2}, "train.best_metric=train/loss is none of their numbers"),
        (
            {"evaluate_every": 300, "best_metric": "eval/log_loss", "keep_best_checkpoints": 1},
            "train.checkpoint_every=500 must be a multiple of train.evaluate_every=300",
        ),
        ({"export_weights": "best"}, "set train.keep_best_checkpoints=1"),
        ({"evaluate_suites": ["rm_bench"]}, "train.evaluate_suites=['rm_bench'] is not read with"),
        ({"evaluate_limit": 9}, "train.evaluate_limit=9 is not read with train.evaluate_every=0"),
        ({"evaluate_every": -1}, "train.evaluate_every=-1 must be at least 0"),
    ],
)
def test_settings_that_choose_by_nothing_are_refused(changes: dict[str, Any], refusal: str) -> None:
    with pytest.raises(RecipeError) as error:
        check_train_config(TrainConfig(**changes))
    assert refusal in str(error.value)
