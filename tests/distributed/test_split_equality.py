"""One gradient, however a step is split: ranks, rows, engines, recomputation, against plain separate rows.

The reference runs Transformers' own forward pass once a response, in one process, unsharded.
"""

import os
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from distributed_ranks import run_ranks
from loader_toys import ToyComparisons
from separate_rows import assert_equal_gradients, gradients, separate_rewards
from sharding import How, begin, sharded_by
from torch import Tensor
from torch._dynamo.utils import counters
from toys import toy_comparison, toy_image, toy_reward_model

from data_pipeline.encoding.encoder import EncodedComparison
from rm_core.batches.labels import labels_of
from rm_core.batches.loader import PackLoader
from rm_core.model import compiled
from rm_core.model.reward_model import RewardModel
from rm_core.objectives.config import ObjectiveConfig
from rm_core.objectives.objective import Objective
from rm_core.objectives.terms import Judged
from rm_core.packing.plan import PackBudget, Plan
from rm_core.train_config.config import OptimizerConfig, TrainConfig
from rm_core.training.engines import zero as engine_module

RATE = 2.0**12
"""SGD's rate: so large that (before - after) / RATE is the gradient, and weights do not round it."""
GLOBAL_BATCH = 6
IMAGES = [toy_image(seed, 56, 84) for seed in range(3)]
ITEMS: list[EncodedComparison] = [
    toy_comparison(0, ranks=(0, 1, 2, 1, 3)),
    toy_comparison(1, images=(IMAGES[0],)),
    toy_comparison(2, images=(IMAGES[1], IMAGES[2]), ranks=(1, 0, 2)),
    toy_comparison(3, ranks=tuple(range(8))),
    toy_comparison(4, ranks=(1, 0), response_images=(IMAGES[0], toy_image(9))),
    toy_comparison(5, ranks=(0, 0, 1)),
]
BUDGETS = {"one Comparison a row": PackBudget(tokens=70, patches=64), "few rows": PackBudget(tokens=140, patches=96)}
OBJECTIVES = {
    "bradley_terry": ObjectiveConfig(),
    "plackett_luce with all regularisers": ObjectiveConfig(
        name="plackett_luce",
        zero_coefficient=0.1,
        l2_coefficient=0.01,
        batch_zero_coefficient=0.3,
        length_normalisation=True,
    ),
    "davidson": ObjectiveConfig(name="davidson", weighting="comparison"),
}
Case = tuple[How, str, str, str]
CASES: list[Case] = [
    (how, budget, recompute, objective)
    for (how, budget), (recompute, objective) in product(
        product((0, 1, 2, 3, "fsdp-1", "fsdp-2", "fsdp-3"), BUDGETS),
        (("none", "bradley_terry"), ("full", "plackett_luce with all regularisers"), ("selective", "davidson")),
    )
]


def the_plan(budget: PackBudget) -> tuple[ToyComparisons, Plan]:
    data = ToyComparisons(ITEMS)
    return data, Plan(data.table(), seed=0, global_batch=GLOBAL_BATCH, num_steps=1, budget=budget)


def loss_of(judged: Judged, counts: Any) -> Tensor:
    return torch.stack([term.sum / getattr(counts, term.unit) for term in judged.terms.values()]).sum()


def split_gradients(cases: list[Case]) -> dict[Case, tuple[int, dict[str, Tensor]]]:
    """Of every case: rows that this rank ran, and the whole step's gradient."""
    return {case: split_gradient(*case) for case in cases}


def sharded_gradients(cases: list[Case], compile_parts: str) -> dict[Case, tuple[int, dict[str, Tensor]]]:
    """At stage 3 with all of a toy's weights sharded, and two rows' worth of them at most gathered ahead."""
    made = engine_module.deepspeed_config

    def sharding(config: TrainConfig) -> dict[str, Any]:
        given = made(config)
        given["zero_optimization"] |= {
            "stage3_param_persistence_threshold": 0,
            "stage3_max_reuse_distance": 0,
            "stage3_max_live_parameters": 20_000,
            "stage3_prefetch_bucket_size": 5_000,
        }
        return given

    engine_module.deepspeed_config = sharding
    compiled.BACKEND = "aot_eager"
    found = {case: split_gradient(*case, times=3, compile_parts=compile_parts) for case in cases}
    # Of each model one before and one after attention, for layers of the decoder and of the tower.
    assert counters["stats"]["unique_graphs"] <= (4 * len(cases) if compile_parts == "parts" else 0)
    return found


def two_a_node(how: How) -> tuple[int, dict[str, Tensor]]:
    os.environ["LOCAL_RANK"] = str(int(os.environ["RANK"]) % 2)
    os.environ["LOCAL_WORLD_SIZE"] = "2"
    return split_gradient(how, "one Comparison a row", "full", "bradley_terry", times=3, hpz=2)


def check_hooks(model: RewardModel) -> None:
    """Weights are gathered at the borders of layers, and nowhere inside."""
    for layer in model.layers:
        inside = [module for module in layer.modules() if module is not layer]
        assert layer._forward_pre_hooks and not any(module._forward_pre_hooks for module in inside)


def split_gradient(
    how: How,
    budget: str,
    recompute: str,
    objective_name: str,
    times: int = 1,
    compile_parts: str = "none",
    hpz: int = 1,
) -> tuple[int, dict[str, Tensor]]:
    """Each row is run so many `times`, with its share of the loss; DeepSpeed gathers ahead from the second on.

    Args:
        hpz: ranks of four that share a second copy of the weights.
    """
    model = toy_reward_model()
    model.recompute_activations(recompute)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    config = TrainConfig(
        precision="fp32", optimizer=OptimizerConfig(learning_rate=RATE, max_grad_norm=0.0),
        num_workers=4, **sharded_by(how, hpz_partition_size=hpz),
    )  # fmt: skip
    engine = begin(model, config, make_optimizer=lambda groups: torch.optim.SGD(groups, lr=RATE))
    if config.zero.stage == 3:
        check_hooks(model)
    model.compile_parts(compile_parts)
    model.train()
    data, plan = the_plan(BUDGETS[budget])
    loader = PackLoader(
        data, data.table(), plan, rank=engine.world_rank, world_size=engine.world_size,
        row_format=model.row_format, prefetch=1,
    )  # fmt: skip
    objective = Objective(OBJECTIVES[objective_name])
    ((step, rows),) = [(step, list(rows)) for step, rows in loader.steps(0)]
    mean = torch.tensor(reference_mean(objective)) if objective.needs_step_mean else None
    for number, row in enumerate(rows * times, start=1):
        judged = objective(engine.forward(row), row.labels, step_mean=mean)
        loss = loss_of(judged, step.plan.counts) * engine.world_size / times
        engine.backward(loss, last_row=number == len(rows) * times)
    engine.step()
    return len(rows), {name: (before[name] - value) / RATE for name, value in engine.weights()}


def reference_mean(objective: Objective) -> float:
    model = toy_reward_model()
    with torch.no_grad():
        rewards = torch.cat([separate_rewards(model, item) for item in ITEMS])
    return float(objective.rewards(rewards, labels_of(ITEMS)).mean())


@pytest.fixture(scope="module")
def references() -> dict[str, dict[str, Tensor]]:
    """The gradient of each objective from separate rows."""
    found = {}
    for name, config in OBJECTIVES.items():
        model, objective = toy_reward_model(), Objective(config)
        rewards = torch.cat([separate_rewards(model, item) for item in ITEMS])
        normalised = objective.rewards(rewards, labels_of(ITEMS))
        judged = objective(rewards, labels_of(ITEMS), step_mean=normalised.mean().detach())
        counts = the_plan(BUDGETS["few rows"])[1].step(0).counts
        found[name] = gradients(model, loss_of(judged, counts))
    return found


@pytest.mark.parametrize(
    ("world_size", "cases"),
    [
        pytest.param(2, CASES[4::5], id="2 ranks, every fifth case"),
        *(pytest.param(size, CASES, id=f"{size} ranks", marks=pytest.mark.drill) for size in (1, 2, 4)),
    ],
)
def test_the_gradient_is_that_of_separate_rows(
    world_size: int, cases: list[Case], tmp_path: Path, references: dict[str, dict[str, Tensor]]
) -> None:
    by_rank = run_ranks(split_gradients, world_size, tmp_path, cases)
    for case in cases:
        assert len({by_rank[rank][case][0] for rank in range(world_size)}) == 1, "ranks ran different numbers of rows"
        assert_equal_gradients(by_rank[0][case][1], references[case[3]])
    rows = {case[1]: by_rank[0][case][0] for case in cases}
    assert rows["few rows"] < rows["one Comparison a row"] or world_size == 4


@pytest.mark.drill
@pytest.mark.parametrize("how", ["fsdp-1-step-2", "fsdp-2-row-2", "fsdp-3-row-2", "fsdp-3-step-2"])
def test_copies_of_a_sharded_model_give_the_same_gradient(
    how: How, tmp_path: Path, references: dict[str, dict[str, Tensor]]
) -> None:
    """Two pairs of ranks: gradients are added up within each, and between them once a step."""
    case: Case = (how, "one Comparison a row", "full", "bradley_terry")
    found = run_ranks(split_gradient, 4, tmp_path, *case, 3)[0]
    assert_equal_gradients(found[1], references["bradley_terry"])


@pytest.mark.drill
@pytest.mark.parametrize("how", [3, "fsdp-3"])
def test_second_copies_of_weights_in_a_node_give_the_same_gradient(
    how: How, tmp_path: Path, references: dict[str, dict[str, Tensor]]
) -> None:
    """Two nodes of two ranks, by their number."""
    found = run_ranks(two_a_node, 4, tmp_path, how)[0]
    assert_equal_gradients(found[1], references["bradley_terry"])


@pytest.mark.drill
@pytest.mark.parametrize("compile_parts", ["none", "parts"])
def test_weights_that_are_gathered_by_layers_give_the_same_gradient(
    compile_parts: str, tmp_path: Path, references: dict[str, dict[str, Tensor]]
) -> None:
    cases = [case for case in CASES if case[0] in (3, "fsdp-3", "fsdp-1") and case[1] == "few rows"]
    if compile_parts != "none":
        cases = [case for case in cases if case[2] == "selective"]
    by_rank = run_ranks(sharded_gradients, 2, tmp_path, cases, compile_parts)
    for case in cases:
        assert_equal_gradients(by_rank[0][case][1], references[case[3]])
