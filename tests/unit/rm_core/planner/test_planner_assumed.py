"""Sizes of sources before anything is prepared: what the mixture leaves of them, and what a Comparison then is."""

from typing import Any

import pytest

from data_pipeline.config import MixtureConfig, PreprocessConfig, SourceConfig, SplitConfig
from data_pipeline.errors import RecipeError
from rm_core.model.flops import Flops
from rm_core.planner.architecture import config_of_shape
from rm_core.planner.assumed import assumed_counts
from rm_core.planner.config import PlanConfig, check_plan_config
from rm_core.planner.workload import assumed_workload

BACKBONE = config_of_shape("3b")
PLAN = PlanConfig(sizes={"seen": 1000, "more": 5000, "told": 600}, text_only=["told"])


def prepared(*, only: tuple[str, ...] = (), ratio: float | None = None, held: float = 0.1, **of_more: Any) -> Any:
    sources = [SourceConfig(name=name, path=f"{name}.jsonl") for name in ("seen", "told")]
    sources.append(SourceConfig(name="more", path="more.jsonl", **of_more))
    mixture = MixtureConfig(only=list(only), text_ratio=ratio)
    return PreprocessConfig(sources=sources, mixture=mixture, split=SplitConfig(heldout_fraction=held))


def test_each_source_counts_as_the_mixture_leaves_it() -> None:
    counts = assumed_counts(PLAN, prepared())
    assert (counts.pictured, counts.text) == pytest.approx((900 + 4500, 540))
    assert (counts.held_pictured, counts.held_text) == pytest.approx((600, 60))
    assert assumed_counts(PLAN, prepared(only=("seen",))).pictured == pytest.approx(900)
    assert assumed_counts(PLAN, prepared(cap=2000, repeat=1.5)).pictured == pytest.approx(900 + 3000)
    assert assumed_counts(PLAN, prepared(limit=500)).pictured == pytest.approx(900 + 450)
    assert assumed_counts(PLAN, prepared(split="train")).pictured == pytest.approx(900 + 5000)
    assert assumed_counts(PLAN, prepared(ratio=0.5)).text == pytest.approx(2700)
    weighted = prepared(only=("seen", "told"))
    weighted.sources[0].weight, weighted.sources[1].weight = 1.0, 3.0
    counts = assumed_counts(PLAN, weighted)
    assert (counts.pictured, counts.text) == pytest.approx((0.25 * 1440, 0.75 * 1440))


def test_without_sizes_the_number_is_that_of_the_recipe() -> None:
    plan = PlanConfig(comparisons=900)
    counts = assumed_counts(plan, prepared())
    assert (counts.pictured, counts.text, counts.held_pictured) == pytest.approx((900, 0, 100))


def test_a_source_without_a_size_is_named() -> None:
    with pytest.raises(RecipeError, match="plan.sizes has no number for told, more: add it, or leave plan.sizes empty"):
        assumed_counts(PlanConfig(sizes={"seen": 10}), prepared())
    with pytest.raises(RecipeError, match="plan.text_only names other, of which plan.sizes says no number"):
        check_plan_config(PlanConfig(sizes={"seen": 10}, text_only=["other"]))
    with pytest.raises(RecipeError, match="leave no Comparison to train on"):
        assumed_workload(PLAN, BACKBONE, preprocess=prepared(only=("told",), ratio=0.0))


def test_text_has_no_patches_and_less_to_compute() -> None:
    """900 tokens of a prompt are 400 of text and 500 of an image of 2,000 patches."""
    work = assumed_workload(PLAN, BACKBONE, preprocess=prepared(ratio=1.0))
    assert work.comparisons == 2 * 5400
    assert (work.tokens, work.patches) == pytest.approx((500 + (900 + 400) / 2, 1000))
    flops = Flops.of(BACKBONE)
    seeing, reading = flops.forward(900, [250, 250], [(1, 44, 44)]), flops.forward(400, [250, 250], [])
    assert work.flops == pytest.approx((seeing + reading) / 2)
    assert work.heldout == 660 and work.heldout_flops == pytest.approx(600 * seeing + 60 * reading)
