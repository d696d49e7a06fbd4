"""Stages in a row are one plan over one table."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from loader_toys import ToyComparisons
from toys import ROW_FORMAT, toy_comparison, toy_config, toy_image

from data_pipeline.config import EncodeConfig
from data_pipeline.errors import RecipeError, RunError
from rm_core.batches.loader import PackLoader
from rm_core.packing.plan import PackBudget, Plan, Stage, StagedPlan
from rm_core.train_config.check import check_train_config
from rm_core.train_config.config import TrainConfig
from rm_core.train_config.parameter_groups import rate_of_stage
from rm_core.train_config.weights import GroupConfig, StageConfig, WeightsConfig
from rm_core.training.data_plan import make_plan, shown_more_often

DATA = ToyComparisons([toy_comparison(i, images=(toy_image(i % 3),) if i % 3 == 0 else ()) for i in range(12)])
TABLE = DATA.table()


class Prepared:
    """What planning asks of prepared data."""

    all_rows, groups, folder = None, None, "toys"
    manifest = SimpleNamespace(reading=SimpleNamespace(encode=EncodeConfig()))

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rm_core.training.data_plan.PlanningTable.from_rows", lambda *_, **__: TABLE)

    def epoch_indices(self, _split: str) -> np.ndarray:
        return np.arange(12)

    def row_indices(self, index: np.ndarray) -> np.ndarray:
        return index


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    toy_config().save_pretrained(tmp_path)
    return TrainConfig(
        model=str(tmp_path), global_batch=4, token_budget=60, patch_budget=64,
        stages=[
            StageConfig(name="multimodal", only="images", epochs=2.0, held=["embeddings"]),
            StageConfig(only="text", steps=3, rate=0.5),
        ],
    )  # fmt: skip


def test_each_stage_sees_its_own_comparisons(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    table, plan = make_plan(config, Prepared(monkeypatch))  # type: ignore[arg-type]
    assert [stage.name for stage in plan.stages] == ["multimodal", "2"]
    assert [plan.stage_of(index) for index in range(plan.num_steps)] == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    for index in range(plan.num_steps):
        step = plan.step(index)
        with_images = {row % 3 == 0 for row in step.rows}
        assert step.index == index and with_images == {index < 2}
        assert sorted(row for pack in step.packs for row in pack.rows) == sorted(step.rows)
        for schedule in plan.schedule(step, 2), plan.schedule(step, 3):
            rows = [row for rank_packs in schedule for pack in rank_packs for row in pack.rows]
            assert sorted(rows) == sorted(step.rows)
    seen = [row for index in range(2) for row in plan.step(index).rows]
    assert sorted(seen) == sorted([0, 3, 6, 9] * 2), "two epochs of the images"
    assert len(table) == 12


def test_the_loader_reads_a_staged_plan(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    table, plan = make_plan(config, Prepared(monkeypatch))  # type: ignore[arg-type]
    loader = PackLoader(DATA, table, plan, rank=0, world_size=1, row_format=ROW_FORMAT, prefetch=1)
    for step, rows in loader.steps(1):
        ids = sorted(name for row in rows for name in row.ids)
        assert ids == sorted(f"toy-{row}" for row in plan.step(step.plan.index).rows)


def test_one_stage_is_the_plan_itself() -> None:
    plan = Plan(TABLE, seed=0, global_batch=5, num_steps=4, budget=PackBudget(tokens=60, patches=64))
    staged = StagedPlan([Stage("1", plan, np.arange(12))])
    assert [staged.step(index) for index in range(4)] == [plan.step(index) for index in range(4)]
    assert staged.schedule(staged.step(2), 2) == plan.schedule(plan.step(2), 2)


def test_rates_begin_anew_in_each_stage_and_held_groups_have_none(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.optimizer.warmup_ratio, config.optimizer.final_ratio = 0.5, 0.1
    _, plan = make_plan(config, Prepared(monkeypatch))  # type: ignore[arg-type]
    share = rate_of_stage(config, plan)
    assert [share("embeddings", step) for step in range(2)] == [0.0, 0.0]
    assert [share("language", step) for step in range(5)] == pytest.approx([1.0, 0.1, 0.25, 0.5, 0.05])
    assert share("embeddings", 2) == share("language", 2)


def test_a_text_backbone_wants_text_only_stages(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    toy_config("qwen3").save_pretrained(config.model)
    with pytest.raises(RecipeError, match=r"stage multimodal show images: set train\.stages\.0\.only=text"):
        make_plan(config, Prepared(monkeypatch))  # type: ignore[arg-type]
    config.stages = [StageConfig(only="text")]
    _, plan = make_plan(config, Prepared(monkeypatch))  # type: ignore[arg-type]
    assert plan.num_steps == 2


def test_a_stage_without_a_comparison_is_named(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    only_text = TABLE.where(~TABLE.has_images)
    prepared = Prepared(monkeypatch)
    monkeypatch.setattr("rm_core.training.data_plan.PlanningTable.from_rows", lambda *_, **__: only_text)
    with pytest.raises(RunError, match=r"train.stages.0.only='images'"):
        make_plan(config, prepared)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": [StageConfig(only="video")]}, "train.stages.0.only='video'"),
        ({"stages": [StageConfig(), StageConfig(held=["tower"])]}, "train.stages.1.held.0='tower' must be one of"),
        ({"stages": [StageConfig(steps=0)]}, "train.stages.0.steps=0"),
        ({"stages": [StageConfig(epochs=0)]}, "train.stages.0.epochs=0"),
        ({"stages": [StageConfig(rate=0.0)]}, "train.stages.0.rate=0.0"),
        ({"stages": [StageConfig()], "max_steps": 3}, "train.max_steps=3"),
        ({"weights": WeightsConfig(vision=GroupConfig(train="half"))}, "train.weights.vision.train='half'"),
        ({"weights": WeightsConfig(head=GroupConfig(train="lora"))}, "train.weights.head.train='lora'"),
        ({"weights": WeightsConfig(language=GroupConfig(learning_rate=-1.0))}, "train.weights.language.learning_rate"),
        ({"weights": WeightsConfig(*[], **{n: GroupConfig(train="frozen") for n in
          ("vision", "merger", "language", "embeddings", "head")})}, "every group of train.weights is frozen"),
        ({"activation_checkpointing": "some"}, "train.activation_checkpointing='some'"),
        ({"stall_timeout_s": -1.0}, "train.stall_timeout_s=-1.0"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message.replace(".", r"\.")):
        check_train_config(TrainConfig(**changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"global_batch": 128},
            "batch=128 is more than the 12 Comparisons of an epoch: every step shows each 10.7",
        ),
        ({"global_batch": 13}, "every step shows each 1.1 times, 1.1 times in all; lower it to 12 or less"),
        ({"global_batch": 24, "max_steps": 3}, "every step shows each 2.0 times, 6.0 times in all"),
        ({"global_batch": 9}, "2 whole steps show the 12 Comparisons 1.50 times, not 1"),
        ({"global_batch": 8, "epochs": 0.1}, "1 whole steps show the 12 Comparisons 0.67 times, not 0.1"),
        ({"global_batch": 12}, None),
        ({"global_batch": 5, "epochs": 2.0}, None),
        ({"global_batch": 5, "max_steps": 100}, None),
    ],
)
def test_batches_that_repeat_comparisons_are_told(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, settings: dict[str, float], said: str | None
) -> None:
    asked = replace(config, stages=[], token_budget=10_000, patch_budget=10_000, **settings)  # type: ignore[arg-type]
    _, plan = make_plan(asked, Prepared(monkeypatch))  # type: ignore[arg-type]
    lines = shown_more_often(asked, plan)
    assert len(lines) == (said is not None)
    assert said is None or said in lines[0]


def test_a_stage_that_repeats_its_few_comparisons_is_named(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plan = make_plan(replace(config, global_batch=6), Prepared(monkeypatch))  # type: ignore[arg-type]
    [line] = shown_more_often(replace(config, global_batch=6), plan)
    assert "train.global_batch=6 (stage multimodal) is more than the 4 Comparisons" in line
