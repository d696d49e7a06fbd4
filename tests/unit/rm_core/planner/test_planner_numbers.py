"""The planner's numbers against ones worked out by hand."""

from dataclasses import replace

import pytest
from toys import toy_comparison

from data_pipeline.errors import RecipeError
from rm_core.model.flops import Flops, cost_model
from rm_core.packing.plan import PackBudget, Plan
from rm_core.packing.sizes import PlanningTable
from rm_core.planner.architecture import architecture_of, config_of_shape
from rm_core.planner.config import PlanConfig, check_plan_config
from rm_core.planner.gpus import GPUS
from rm_core.planner.launches import launches_of_row
from rm_core.planner.propose import best_setting
from rm_core.planner.roofline import rows_of_step, schedule_of, time_of
from rm_core.planner.setting import Setting
from rm_core.planner.states import states_of
from rm_core.planner.workload import assumed_workload
from rm_core.train_config.config import TrainConfig

BACKBONE = config_of_shape("7b")
ARCH = architecture_of(BACKBONE, TrainConfig())
EIGHT = replace(Setting.of(TrainConfig(num_workers=8)), recompute="full")
H100 = GPUS["h100-80gb"]
P = 7_760_021_504


def test_the_7b_model_has_its_weights() -> None:
    assert ARCH.numel == ARCH.trained_numel == P
    assert sum(ARCH.by_part.values()) == P
    assert ARCH.largest_numel == ARCH.by_part["embeddings"] == 152_064 * 3584


def test_states_of_7b_on_eight_gpus() -> None:
    two, three = states_of(ARCH, EIGHT), states_of(ARCH, replace(EIGHT, stage=3))
    assert two.weights == 2 * P
    assert [two.masters, two.moments, two.gradients] == pytest.approx([4 * P / 8, 8 * P / 8, 4 * P / 8], rel=1e-6)
    assert two.backward == 2 * 544_997_376  # the embeddings' gradient is larger than a bucket
    assert three.weights == pytest.approx(2 * P / 8, rel=2e-3)  # and small parameters whole
    assert three.buffers == 2 * 500_000_000
    # Gathered: 1.05 billion elements and the embeddings; gradients that wait, and their flat copy.
    assert three.backward == 2 * (1_050_000_000 + 544_997_376) + 2 * 2 * 544_997_376


def test_stage_1_keeps_all_gradients() -> None:
    one = states_of(ARCH, replace(EIGHT, stage=1))
    assert one.gradients == 6 * P
    assert one.moments == pytest.approx(P, rel=1e-6)


def test_offload_moves_states_to_the_cpu() -> None:
    states = states_of(ARCH, replace(EIGHT, stage=3, offload_optimizer=True, offload_parameters=True))
    assert (states.masters, states.moments, states.gradients) == (0, 0, 0)
    assert states.host == pytest.approx(22 * P / 8, rel=1e-6)


def test_rows_of_a_step() -> None:
    workload = assumed_workload(PlanConfig(), BACKBONE)
    assert (workload.tokens, workload.patches) == (1400, 2000)
    assert rows_of_step(EIGHT, workload) == 4  # 5 of 1,400 tokens fit into 90 % of 8,192; 16 for a GPU
    assert rows_of_step(replace(EIGHT, patch_budget=8192), workload) == 6  # 3 of 2,000 patches into 90 % of 8,192
    assert rows_of_step(replace(EIGHT, gpus=256), workload) == 1


def test_a_step_by_hand() -> None:
    config = PlanConfig()
    workload = assumed_workload(config, BACKBONE)
    time = time_of(ARCH, EIGHT, workload, H100, config, steps=3600)
    assert workload.flops == Flops.of(BACKBONE).forward(900, [250, 250], [(1, 44, 44)])
    assert time.compute_s == pytest.approx(16 * 4 * workload.flops / (989e12 * 0.25))
    assert time.send_s == pytest.approx((4 * 2 + 1) * 7 / 8 * 2 * P / (450e9 * 0.7))
    assert time.update_s == pytest.approx(30 * P / 8 / (3350e9 * 0.8))
    assert time.hours == pytest.approx(time.step_s + time.around.total_s / 3600)
    assert time.cost == pytest.approx(8 * 6.9 * time.hours)
    assert time.mfu == pytest.approx(3 * 128 * workload.flops / (time.step_s * 8 * 989e12))


def test_an_evaluation_by_hand() -> None:
    """A forward pass over 1,200 held-out Comparisons of the mean size, 150 on each GPU."""
    config = PlanConfig(network_efficiency=1.0)
    assumed = assumed_workload(config, BACKBONE)
    workload = replace(assumed, heldout=1200, heldout_flops=1200 * assumed.flops)
    setting = replace(EIGHT, token_budget=32768)
    plain = time_of(ARCH, setting, workload, H100, config, steps=100)
    time = time_of(ARCH, setting, workload, H100, config, steps=100, evaluations=20)
    assert (plain.evaluations, plain.evaluation_s) == (0, time.evaluation_s)
    assert time.evaluation_s == pytest.approx(150 * workload.flops / (989e12 * 0.25))
    assert time.hours - plain.hours == pytest.approx(20 * time.evaluation_s / 3600)
    third = time_of(ARCH, setting, workload, H100, config, steps=100, evaluations=1, evaluated=400)
    assert third.evaluation_s == pytest.approx(time.evaluation_s / 3)
    sharded = time_of(ARCH, replace(setting, stage=3), workload, H100, config, steps=100, evaluations=1)
    rows = rows_of_step(replace(setting, global_batch=1200), workload)
    assert sharded.evaluation_s - time.evaluation_s == pytest.approx(rows * 7 / 8 * 2 * P / 450e9)
    assert time_of(ARCH, setting, assumed, H100, config, steps=1, evaluations=1).evaluation_s == 0.0, "not known"


def test_ranks_wait_for_the_longest_comparison() -> None:
    """Where its length is not known, by one number; where it is, by the schedule of the ranks."""
    workload = assumed_workload(PlanConfig(), BACKBONE)
    at = {gpus: schedule_of(replace(EIGHT, gpus=gpus), workload).straggler for gpus in (8, 64, 128, 256)}
    assert at == pytest.approx({8: 1, 64: 1.44, 128: 2.88, 256: 5.76})
    items = [toy_comparison(seed, prefix_text=seed) for seed in range(24)]
    table = PlanningTable.from_comparisons(items, cost_model(BACKBONE))
    known = replace(workload, table=table)
    small = replace(EIGHT, gpus=2, global_batch=8, token_budget=64)
    plan = Plan(table, seed=0, global_batch=8, num_steps=4, budget=PackBudget(tokens=64, patches=small.patch_budget))
    steps = [plan.schedule(plan.step(index), 2) for index in range(4)]
    turns = [turn for step in steps for turn in zip(*step, strict=True)]
    slowest = sum(max(pack.cost for pack in turn) for turn in turns)
    found = schedule_of(small, known)
    assert found.straggler == pytest.approx(2 * slowest / sum(pack.cost for turn in turns for pack in turn))
    assert 1 < found.straggler < schedule_of(replace(small, gpus=8), known).straggler
    assert found.rows == round(len(turns) / 4) > 1


def test_rows_with_little_to_compute_wait_for_their_launches() -> None:
    assert launches_of_row(ARCH, "none") == 28 * (20 + 55) + 32 * (16 + 46) == 4084
    assert launches_of_row(ARCH, "selective") - 4084 == 28 * (20 - 8) + 32 * (16 - 6)
    assert launches_of_row(ARCH, "full") - 4084 == 28 * 20 + 32 * 16
    config, fast = PlanConfig(), replace(H100, launch_us=0.0)
    workload = replace(assumed_workload(config, BACKBONE), flops=1e9)
    plain, slow = (time_of(ARCH, EIGHT, workload, gpu, config, steps=1) for gpu in (fast, H100))
    assert slow.compute_s == pytest.approx(4 * (4084 + 28 * 20 + 32 * 16) * 25e-6)
    assert plain.compute_s < slow.compute_s


def test_stages_send_what_they_send() -> None:
    config = PlanConfig(network_efficiency=1.0)
    workload = assumed_workload(config, BACKBONE)
    shares = {}
    for stage in (1, 2, 3):
        time = time_of(ARCH, replace(EIGHT, stage=stage), workload, H100, config, steps=1)
        shares[stage] = time.send_s * 450e9 / (2 * P * 7 / 8)
    assert shares == pytest.approx({1: 3, 2: 4 * 2 + 1, 3: 4 * 3})
    many = time_of(ARCH, replace(EIGHT, gpus=16), workload, GPUS["a100-80gb"], config, steps=1)
    assert many.send_s == pytest.approx((2 * 2 + 1) * 15 / 16 * 2 * P / 50e9)  # a node's network, not NVLink


def test_the_fastest_setting_fits_and_is_no_slower() -> None:
    config = PlanConfig()
    workload = assumed_workload(config, BACKBONE)
    cell = best_setting(ARCH, EIGHT, workload, H100, config)
    assert cell is not None
    assert cell.time.step_s <= time_of(ARCH, EIGHT, workload, H100, config, steps=1).step_s
    seventy_two = architecture_of(config_of_shape("72b"), TrainConfig())
    assert best_setting(seventy_two, EIGHT, workload, GPUS["a100-40gb"], config) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gpus": 0}, "plan.gpus=0 must be at least 1"),
        ({"patches": 4000}, "plan.patches=4000 must be 0 to four times plan.prefix_tokens=900"),
        ({"price": -1.0}, "plan.price=-1.0 must be at least 0"),
        ({"compute_efficiency": 0.0}, "plan.compute_efficiency=0.0 must be above 0"),
    ],
)
def test_bad_values_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_plan_config(replace(PlanConfig(), **values))  # type: ignore[arg-type]
