"""A group evaluates while it trains: as `evaluate` does, on any number of ranks, through stops and resumes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from distributed_ranks import run_ranks
from prepared_toys import mixed_toy, write_toy
from sharding import How, begin, sharded_by

from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.prepared import PreparedData
from rm_core.batches.packed import collate
from rm_core.checkpoints import CheckpointStore
from rm_core.evaluation.curve import curve_numbers
from rm_core.evaluation.metrics import evaluate
from rm_core.evaluation.while_training import evaluation_sets
from rm_core.model.config import InitModelConfig
from rm_core.model_folder.folder import lineage_of
from rm_core.model_folder.initialise import initialise_model
from rm_core.packing.plan import PackBudget
from rm_core.packing.whole import WholeTable
from rm_core.scoring.scored import ScoredComparison
from rm_core.scoring.scorer import Scorer, score_rows
from rm_core.train_config.config import OptimizerConfig, TrainConfig
from rm_core.training import export, worker
from rm_core.training.evaluation import EvaluationSet, GroupEvaluation, Rewards
from rm_core.training.observers import PhaseClock, Phases
from rm_core.training.trainer import Hooks, StopTraining
from rm_core.training.watchdog import Watchdog

STAGES: tuple[How, ...] = (0, 3, "fsdp-2")
TURNS = 3
"""Rows that each of two ranks scores in an evaluation, an idle one among them."""


def config_of(folder: Path, how: How, output: str = "", **changes: Any) -> TrainConfig:
    base: dict[str, Any] = {
        "model": str(folder / "model"), "data": str(folder / "shards"), "output": str(folder / output),
        "cache_dir": str(folder / "cache"), "precision": "fp32", **sharded_by(how), "global_batch": 4,
        "max_steps": 4, "token_budget": 374, "checkpoint_every": 2, "log_every": 1, "evaluate_every": 1,
        "optimizer": OptimizerConfig(learning_rate=1e-2, warmup_ratio=0.0), "best_metric": "eval/log_loss",
    }  # fmt: skip
    return TrainConfig(**base | changes)


def rewards_by_group(folder: Path, how: How) -> tuple[Rewards, bool]:
    """Rewards of the weights to begin with, and whether an evaluation that is asked to stop does."""
    config = config_of(folder, how)
    [one] = evaluation_sets(config, PreparedData.open(config.data))
    seen: list[Rewards] = []

    def kept(rewards: Rewards) -> dict[str, float]:
        seen.append(rewards)
        return {"eval/accuracy": 0.5}

    model = worker.build_model(config)
    engine = begin(model, config)
    answers = count(int(dist.get_rank() == 0))  # rank 1 alone is asked, before the second row
    with Watchdog(model, timeout_s=0, rank=engine.world_rank, world_size=2, report=print) as watchdog:
        phases = Phases(watchdog, PhaseClock(engine.device))
        group = GroupEvaluation(
            engine, model, config, [replace(one, measure=kept)], phases,
            lambda: dist.get_rank() == 1 and next(answers) > 0,
        )  # fmt: skip
        model.train()
        cut_short = group.run(may_stop=True) is None and not seen
        assert group.run(may_stop=False) == {"eval/accuracy": 0.5} and model.training
    return seen[0], cut_short


def train(config: TrainConfig, *, stop_at: int | None = None, planted: Sequence[float] = ()) -> dict[str, Any]:
    """Points of the evaluations on this rank, and how it ended.

    Args:
        stop_at: rank 1 alone is asked to stop, and learns of it when it asks for this time: once in every step, once
            before every row of an evaluation.
        planted: what evaluations find, one after the other, in place of what their rewards are worth.
    """
    points: list[tuple[int, dict[str, float]]] = []
    found: dict[str, Any] = {"points": points, "seconds": [], "rewards": []}
    asked = count(1)

    def log(_step: int, metrics: Mapping[str, float]) -> None:
        found["seconds"].append(metrics["wall/evaluation_s"])

    def as_planted(rewards: Rewards) -> dict[str, float]:
        found["rewards"].append(rewards)
        return {"eval/log_loss": planted[len(found["rewards"]) - 1]}

    def sets(config: TrainConfig, data: PreparedData) -> Sequence[EvaluationSet]:
        made = evaluation_sets(config, data)
        return [replace(one, measure=as_planted) for one in made] if planted else made

    hooks = Hooks(
        begin=lambda steps: None, log=log, before_save=lambda: None, note=print,
        stop=lambda: stop_at is not None and dist.get_rank() == 1 and next(asked) >= stop_at,
        evaluated=lambda step, numbers: points.append((step, dict(numbers))),
        ended=lambda reason: found.update(ended=reason),
    )  # fmt: skip
    try:
        folder = Path(config.output)
        worker.train_rank(config, hooks, export_to=str(folder / "export"), lineage={}, make_sets=sets)
    except StopTraining as error:
        found["stopped"] = str(error)
    return found


def run_all(path: str, how: How) -> dict[str, Any]:
    folder = Path(path)
    found: dict[str, Any] = {f"rewards-{one}": rewards_by_group(folder, one) for one in STAGES} if how == 0 else {}
    with pytest.MonkeyPatch.context() as patch:
        # Other tests go through it.
        patch.setattr(export, "audit_export", lambda folder, report: "")
        found["whole"] = train(config_of(folder, how, "whole", keep_checkpoints=1, keep_best_checkpoints=1))
        # In step 2, whose evaluation is then left out, and on the way through the evaluation after step 3.
        resumed = config_of(folder, how, "resumed", keep_best_checkpoints=1)
        found["stopped"] = [train(resumed, stop_at=one) for one in (TURNS + 2, 2 * TURNS)]
        found["resumed"] = train(resumed)
        early = config_of(
            folder, how, "early", early_stopping=2, log_every=10, checkpoint_every=1, keep_checkpoints=1,
            keep_best_checkpoints=1, export_weights="best", max_steps=9,
        )  # fmt: skip
        found["early"] = [train(early, planted=(0.5, 0.4, 0.45, 0.4125)) for _ in range(2)]
    return found


@pytest.fixture(scope="module", params=[0, *(pytest.param(one, marks=pytest.mark.drill) for one in (3, "fsdp-2"))])
def how(request: pytest.FixtureRequest) -> How:
    given: How = request.param
    return given


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, how: How) -> Path:
    path = tmp_path_factory.mktemp("evaluation")
    write_toy(path / "shards", mixed_toy(57))
    model = InitModelConfig(output=str(path / "model"), tokenizer=str(path / "toy-model"))
    initialise_model(model, PreprocessConfig(), train_tokenizer=lambda folder: None)
    return path


@pytest.fixture(scope="module")
def ranks(folder: Path, how: How) -> list[dict[str, Any]]:
    return run_ranks(run_all, 2, folder / "results", str(folder), how)


def test_rewards_are_those_of_one_process(folder: Path, ranks: Any, how: How) -> None:
    """At all stages; idle turns and rows with and without images are among them."""
    if how != 0:
        return  # the run at stage 0 has done it
    config = config_of(folder, how)
    data = PreparedData.open(config.data)
    [one] = evaluation_sets(config, data)
    plan = WholeTable(one.table, PackBudget(tokens=config.token_budget, patches=config.patch_budget))
    packs = plan.step(0).packs
    assert len(packs) == 2 * TURNS - 1
    assert {bool(one.table.has_images[list(pack.rows)].any()) for pack in packs} == {True, False}, "text beside images"
    model = worker.build_model(config).eval()
    expected: dict[int, tuple[float, ...]] = {}
    with torch.no_grad():
        for pack in packs:
            items = [data.encoded(int(one.table.index[row])) for row in pack.rows]
            batch = collate(items, row_format=model.row_format)
            parts = torch.split(model(batch), list(batch.num_responses))
            expected |= {row: tuple(part.tolist()) for row, part in zip(pack.rows, parts, strict=True)}
    for rewards, cut_short in (rank[f"rewards-{number}"] for rank in ranks for number in STAGES):
        # The same packs; how a process splits a sum over its threads may move the last bits.
        plain = [expected[row] for row in range(len(one.table))]
        torch.testing.assert_close([*map(list, rewards)], [*map(list, plain)], rtol=2e-6, atol=2e-6)
        assert cut_short


def scored_by(folder: Path, export: str) -> list[ScoredComparison]:
    """The held-out Comparisons, scored as `evaluate` does by an exported model."""
    data = PreparedData.open(str(folder / "shards"))
    scorer = Scorer(str(folder / export / "export"), PackBudget(tokens=900, patches=9000))
    chunks = score_rows(scorer, data, data.split_indices("heldout").tolist(), blank_images=False)
    return [replace(one, group=one.id) for chunk in chunks for one in chunk]


def test_the_last_point_is_what_evaluate_finds_of_the_export(folder: Path, ranks: Any) -> None:
    points = dict(ranks[0]["whole"]["points"])
    assert sorted(points) == [1, 2, 3, 4] and len({point["eval/log_loss"] for point in points.values()}) == 4
    scored = scored_by(folder, "whole")
    report = evaluate(scored, bootstrap_samples=10).numbers()
    assert points[4].keys() == curve_numbers(scored).keys()
    for name in ("accuracy", "log_loss", "top1_accuracy", "mean_margin", "image_accuracy", "text_accuracy"):
        assert points[4][f"eval/{name}"] == pytest.approx(report[name], abs=1e-5), name
    for name in ("scenes", "chat", "captions"):
        assert points[4][f"eval/by_source/{name}"] == report[f"source/{name}/accuracy"]


def test_the_best_checkpoint_is_kept_and_its_time_is_in_the_split(folder: Path, ranks: Any) -> None:
    losses = {step: point["eval/log_loss"] for step, point in ranks[0]["whole"]["points"]}
    store = CheckpointStore(str(folder / "whole/checkpoints"))
    best = min((2, 4), key=lambda step: losses[step])
    assert store.complete_steps() == sorted({best, 4})
    assert {step: store.marker(step).score for step in store.complete_steps()} == {
        step: losses[step] for step in {best, 4}
    }
    assert min(ranks[0]["whole"]["seconds"]) > 0 and ranks[1]["whole"]["points"] == []


def test_a_stopped_and_resumed_training_has_the_same_points(ranks: Any) -> None:
    """The group did not wait for evaluations that were due or under way; the attempt after it made up for them."""
    whole, stopped, resumed = (ranks[0][name] for name in ("whole", "stopped", "resumed"))
    assert [one["stopped"] for one in stopped] == ["after step 2 of 4", "after step 3 of 4"]
    parts = [one["points"] for one in (*stopped, resumed)]
    assert [[step for step, _ in part] for part in parts] == [[1], [2], [3, 4]]
    assert [*parts[0], *parts[1], *parts[2]] == whole["points"]


def test_a_checkpoint_that_came_before_its_evaluation_is_ranked_with_the_others(folder: Path, ranks: Any) -> None:
    """The training was stopped after steps 2 and 3, and their evaluations were made up for."""
    losses = {step: point["eval/log_loss"] for step, point in ranks[0]["whole"]["points"]}
    store = CheckpointStore(str(folder / "resumed/checkpoints"))
    assert {step: store.marker(step).score for step in store.complete_steps()} == {
        step: losses[step] for step in store.complete_steps()
    }
    assert min((2, 3, 4), key=lambda step: losses[step]) in store.complete_steps()


def test_early_stopping_says_why_stays_ended_and_exports_the_best_weights(folder: Path, ranks: Any) -> None:
    found, again = ranks[0]["early"]
    assert found["ended"] == (
        "no better eval/log_loss in 2 evaluations (train.early_stopping=2): 0.4125 after step 4, the best was 0.4000 "
        "after step 2"
    )
    assert [step for step, _ in found["points"]] == [1, 2, 3, 4] and len(found["seconds"]) == 1, "a last point"
    lineage = {"ended_early": found["ended"], "steps": 4, "best_by": "eval/log_loss", "exported_step": 2}
    assert lineage_of(str(folder / "early/export")) == lineage
    assert CheckpointStore(str(folder / "early/checkpoints")).complete_steps() == [2, 4]
    assert again == {"points": [], "seconds": [], "rewards": [], "ended": found["ended"]}, "nothing is done again"
    exported = [one.rewards for one in scored_by(folder, "early")]
    for step, rewards in enumerate(found["rewards"], 1):
        assert (np.abs(np.concatenate(exported) - np.concatenate(rewards)).max() < 1e-5) == (step == 2), step
