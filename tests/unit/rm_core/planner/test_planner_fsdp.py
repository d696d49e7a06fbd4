"""The planner's numbers of FSDP against ones worked out by hand: bytes kept, bytes sent, seconds hidden."""

from dataclasses import replace

import pytest

from data_pipeline.errors import RecipeError
from jobs.plan import planned_of
from jobs.recipe.load import load_recipe
from rm_core.planner.architecture import architecture_of, config_of_shape
from rm_core.planner.config import PlanConfig
from rm_core.planner.gpus import GPUS
from rm_core.planner.roofline import rows_of_step, time_of
from rm_core.planner.sending import Sending, sending_of, sent_of
from rm_core.planner.setting import Setting
from rm_core.planner.states import states_of
from rm_core.planner.workload import assumed_workload
from rm_core.train_config.config import TrainConfig

BACKBONE = config_of_shape("7b")
ARCH = architecture_of(BACKBONE, TrainConfig())
EIGHT = replace(Setting.of(TrainConfig(num_workers=8, engine="fsdp")), recompute="full")
H100 = GPUS["h100-80gb"]
P = 7_760_021_504
E = 152_064 * 3584
"""The table of embeddings."""
U, R = 233_057_792, 58_935_552
"""A decoder layer, and the root: mergers, patch embedding, final norm, head."""


def test_the_7b_model_has_its_units() -> None:
    units = ARCH.units
    assert (units.root.numel, [one.numel for one in units.tables]) == (R, [E])
    assert sorted(one.numel for one in units.inner)[-28:] == [U] * 28
    assert sum(one.numel for one in units.all) == P
    assert ARCH.again_numel == P - R


def test_what_stands_still_is_gathered_once() -> None:
    config = TrainConfig()
    config.weights.vision.train = config.weights.embeddings.train = "frozen"
    assert architecture_of(BACKBONE, config).again_numel == 28 * U
    config.weights.merger.train = config.weights.language.train = "frozen"
    assert architecture_of(BACKBONE, config).again_numel == 0, "nothing but the head trains"


def test_states_of_7b_on_eight_gpus() -> None:
    one, two, three = (states_of(ARCH, replace(EIGHT, stage=stage)) for stage in (1, 2, 3))
    for states in (one, two, three):
        assert [states.masters, states.moments] == pytest.approx([4 * P / 8, P], rel=1e-4)
    assert [one.weights, two.weights, three.weights] == pytest.approx([2 * P, 2 * P, 0], rel=1e-4)
    assert [one.gradients, two.gradients, three.gradients] == pytest.approx([4 * P, 4 * P / 8, 4 * P / 8], rel=1e-4)
    # The sums of a layer and its gradients; at stage 3 also its weights, and the next layer's.
    assert two.backward == pytest.approx(2 * R + (4 + 2) * U, rel=1e-4)
    assert three.backward == pytest.approx(2 * R + 2 * R + (4 + 2 + 2 + 2) * U, rel=1e-4)
    # Sums in the place of whole gradients, less the layer's weights, which are gone then.
    assert one.backward == pytest.approx(2 * R + (4 - 2) * U, rel=1e-4)
    assert two.step == three.step == pytest.approx((2 + 4 + 4 / 8) * E, rel=1e-4)
    assert three.start == pytest.approx(4 * P / 8 + 4 * E, rel=1e-4)


def test_float32_weights_are_their_own_masters() -> None:
    states = states_of(ARCH, replace(EIGHT, precision="fp32"))
    assert [states.weights, states.masters] == pytest.approx([4 * P, 4 * P / 8], rel=1e-4)


def test_groups_share_as_if_they_were_alone() -> None:
    three = replace(EIGHT, stage=3)
    grouped = replace(three, gpus=64, shard_size=8)
    assert states_of(ARCH, grouped) == states_of(ARCH, three)
    assert states_of(ARCH, grouped).moments > 7 * states_of(ARCH, replace(grouped, shard_size=0)).moments


def test_a_second_copy_of_the_weights() -> None:
    """At the second layer's backward pass those of two layers are gone."""
    three = replace(EIGHT, gpus=16, stage=3)
    second, plain = states_of(ARCH, replace(three, hpz_partition_size=8)), states_of(ARCH, three)
    assert second.backward - plain.backward == pytest.approx(2 * (P - R - 2 * U) / 8, rel=1e-4)
    assert second.kept == plain.kept
    zero = replace(three, engine="deepspeed")
    more = states_of(ARCH, replace(zero, hpz_partition_size=8)).kept - states_of(ARCH, zero).kept
    assert more == pytest.approx(2 * P / 8, rel=2e-3), "small parameters are whole on every GPU"


def test_what_a_step_sends() -> None:
    """In units of a weight, of eight GPUs with four rows."""
    share = 7 / 8
    assert sent_of(ARCH, replace(EIGHT, stage=1), 4) == (share * 2 * P, 0, share * 4 * P, 0)
    assert sent_of(ARCH, EIGHT, 4) == (share * 2 * P, 0, 4 * share * 4 * P, 0)
    three = replace(EIGHT, stage=3)
    assert sent_of(ARCH, three, 4) == (4 * share * 2 * P, 4 * share * 2 * (P - R), 4 * share * 4 * P, 0)
    once = sent_of(ARCH, replace(three, reduce="step"), 4)
    assert once.gradients == share * 4 * P
    assert once.total == sum(once)


def test_what_copies_and_replicas_send() -> None:
    three = replace(EIGHT, gpus=32, stage=3)
    second = sent_of(ARCH, replace(three, hpz_partition_size=8), 4)
    assert (second.gathers, second.again) == (4 * 31 / 32 * 2 * P, 4 * 7 / 8 * 2 * (P - R))
    grouped = sent_of(ARCH, replace(three, shard_size=8), 4)
    assert (grouped.gathers, grouped.gradients) == (4 * 7 / 8 * 2 * P, 4 * 7 / 8 * 4 * P)
    assert grouped.replicas == 2 * 3 / 4 * 4 * P / 8, "once a step"
    # DeepSpeed keeps its second copy until the step: the first of eight gathers goes over the network.
    zero = sent_of(ARCH, replace(three, engine="deepspeed", hpz_partition_size=8), 4)
    assert (zero.gathers, zero.again) == (31 / 32 * 2 * P, 7 * 7 / 8 * 2 * P)


def seconds(setting: Setting, *, rows: int, forward_s: float) -> Sending:
    """On links of 450 GB/s and nodes' networks of 400, all of which is reached."""
    config = PlanConfig(network_efficiency=1.0)
    return sending_of(ARCH, setting, H100, config, rows=rows, forward_s=forward_s, backward_s=3 * forward_s)


def test_sending_hides_behind_computing() -> None:
    """A gather behind a forward pass, gradients behind a backward pass."""
    gather_s, sums_s = 7 / 8 * 2 * P / 450e9, 7 / 8 * 4 * P / 450e9
    slow = seconds(EIGHT, rows=4, forward_s=1.0)
    assert slow.waited_s == 0
    assert slow.hidden_s == pytest.approx(gather_s + 4 * sums_s)
    fast = seconds(EIGHT, rows=4, forward_s=0.01)
    assert fast.waited_s == pytest.approx(gather_s - 0.01 + 4 * (sums_s - 0.03))
    assert fast.hidden_s == pytest.approx(0.01 + 4 * 0.03)
    once = seconds(replace(EIGHT, stage=1), rows=4, forward_s=0.01)
    assert once.waited_s == pytest.approx(gather_s - 0.01 + sums_s - 0.03)
    three = seconds(replace(EIGHT, stage=3), rows=4, forward_s=0.01)
    again_s = 7 / 8 * 2 * (P - R) / 450e9
    assert three.waited_s == pytest.approx(4 * (gather_s - 0.01) + 4 * (again_s + sums_s - 0.03))
    assert seconds(replace(EIGHT, engine="deepspeed"), rows=4, forward_s=1.0).hidden_s == 0


def test_groups_and_copies_stay_within_a_node() -> None:
    nodes = replace(EIGHT, gpus=32, stage=3)
    gather_s = 31 / 32 * 2 * P / 400e9
    sums_s, again_s = 31 / 32 * 4 * P / 400e9, 7 / 8 * 2 * (P - R) / 450e9
    found = seconds(replace(nodes, hpz_partition_size=8), rows=2, forward_s=0.0)
    assert found.waited_s == pytest.approx(2 * (gather_s + sums_s + again_s))
    # Between replicas each of a node's eight GPUs has an eighth of its network.
    grouped = seconds(replace(nodes, stage=2, shard_size=8), rows=2, forward_s=0.0)
    replicas_s = 2 * 3 / 4 * 4 * P / 8 / (400e9 / 8)
    assert grouped.waited_s == pytest.approx(7 / 8 * (2 + 2 * 4) * P / 450e9 + replicas_s)
    zero = replace(nodes, engine="deepspeed", hpz_partition_size=8)
    assert seconds(zero, rows=1, forward_s=1.0).waited_s == pytest.approx(
        31 / 32 * (2 + 2) * P / 400e9 + 7 / 8 * 2 * P / 450e9
    )


def test_a_step_waits_for_what_is_not_hidden() -> None:
    config = PlanConfig(network_efficiency=0.01)
    workload = assumed_workload(config, BACKBONE)
    time = time_of(ARCH, EIGHT, workload, H100, config, steps=100)
    forward_s = time.compute_s / time.rows / 4
    sums_s = 7 / 8 * 4 * P / 4.5e9
    assert time.send_s == pytest.approx(7 / 8 * 2 * P / 4.5e9 - forward_s + 4 * (sums_s - 3 * forward_s))
    assert time.step_s == time.compute_s + time.send_s + time.update_s
    assert time.hidden_s == pytest.approx(forward_s + 4 * 3 * forward_s)
    grouped = time_of(ARCH, replace(EIGHT, gpus=64, shard_size=8), workload, H100, config, steps=100)
    assert grouped.update_s == time.update_s


def test_an_evaluation_gathers_beside_its_rows() -> None:
    config = PlanConfig(network_efficiency=0.01)
    assumed = assumed_workload(config, BACKBONE)
    workload = replace(assumed, heldout=1200, heldout_flops=1200 * assumed.flops)

    def evaluation_s(setting: Setting) -> float:
        return time_of(ARCH, setting, workload, H100, config, steps=1, evaluations=1).evaluation_s

    compute_s = 150 * workload.flops / (989e12 * 0.25)
    rows = rows_of_step(replace(EIGHT, global_batch=1200), workload)
    gather_s = 7 / 8 * 2 * P / 4.5e9
    assert evaluation_s(EIGHT) == pytest.approx(compute_s + gather_s - compute_s / rows)
    assert evaluation_s(replace(EIGHT, stage=3)) == pytest.approx(rows * gather_s)
    assert evaluation_s(replace(EIGHT, engine="deepspeed")) == pytest.approx(compute_s)
    second = replace(EIGHT, stage=3, hpz_partition_size=2)
    later_s = max(compute_s / rows, 1 / 2 * 2 * P / 4.5e9)
    assert evaluation_s(second) == pytest.approx(gather_s + (rows - 1) * later_s)


def test_groups_that_the_planned_gpus_cannot_have_are_refused() -> None:
    words = ["train.engine=fsdp", "train.num_workers=64", "train.zero.shard_size=16", "plan.gpus=24"]
    with pytest.raises(RecipeError, match="train.zero.shard_size=16 must divide"):
        planned_of(load_recipe("scale/7b_zero2", words))
