"""The audit passes a healthy training at every stage of both engines, and stops one whose weights misbehave."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from deepspeed.runtime import bf16_optimizer
from distributed_ranks import RunsOfCases, with_drills
from sharding import How, begin, sharded_by
from torch import Tensor, nn
from toys import ROW_FORMAT, toy_comparison, toy_image, toy_reward_model

from data_pipeline.errors import RunError
from rm_core.batches.packed import PackedBatch, collate
from rm_core.model.families import group_of
from rm_core.model.reward_model import RewardModel
from rm_core.objectives.pairwise import win_cost
from rm_core.train_config.config import OptimizerConfig, TrainConfig
from rm_core.training.audit import Fingerprints, WeightAudit
from rm_core.training.engines.interface import MasterWeights

CASES: list[tuple[How, str]] = [
    (0, "fp32"), (1, "fp32"), (2, "fp32"), (3, "fp32"), (1, "bf16"), (2, "bf16"), (3, "bf16"),
    ("fsdp-1", "bf16"), ("fsdp-2", "fp32"), ("fsdp-3", "bf16"),
]  # fmt: skip
QUICK: list[tuple[How, str]] = [(3, "bf16"), ("fsdp-3", "bf16")]
SGD_CASES: list[tuple[How, str]] = [(0, "fp32"), (3, "fp32"), ("fsdp-2", "fp32")]
RATE = 1e-3
HELD, FROZEN = "backbone.language_model.embed_tokens.weight", "backbone.language_model.norm.weight"
Shares = Callable[[str, int], float]


@dataclass
class Run:
    """A few optimiser steps under audit."""

    how: How
    precision: str
    prepare: Callable[[RewardModel], None] = lambda model: None
    share: Shares = lambda part, step: 1.0
    images: tuple[bool, ...] = (True,)
    """Whether each step has images."""
    rate: float = RATE
    weight_decay: float = 0.0
    rising: bool = False
    meddle: Callable[[MasterWeights, dict[str, nn.Parameter]], None] = lambda masters, parameters: None
    """After the first step: a planted fault."""
    sgd: bool = False

    def outcome(self) -> list[str]:
        """After each step: what the audit said, or what it still waits for."""
        model = toy_reward_model()
        self.prepare(model)
        engine = begin(
            model, self._config(), self.share,
            make_optimizer=(lambda groups: torch.optim.SGD(groups, lr=self.rate)) if self.sgd else None,
        )  # fmt: skip
        masters = engine.masters
        audit = WeightAudit(engine.named_parameters(), masters, group_of, engine.device)
        said = []
        for step, images in enumerate(self.images):
            rates = engine.learning_rates
            costs = win_cost(engine.forward(row(engine.world_rank, images)), *row(0, images).labels.pairs)
            engine.backward(costs.sum())
            engine.step()
            if step == 0:
                self.meddle(masters, dict(engine.named_parameters()))
            try:
                audit.after(step, rates, images=images, rising=self.rising)
                said.append("done" if audit.done else "waits for " + " ".join(audit.waiting))
            except RunError as error:
                said.append(str(error))
        return said

    def _config(self) -> TrainConfig:
        optimizer = OptimizerConfig(learning_rate=self.rate, weight_decay=self.weight_decay)
        return TrainConfig(precision=self.precision, optimizer=optimizer, **sharded_by(self.how))


def row(rank: int, images: bool) -> PackedBatch:
    """Three responses to one prompt; the image is on rank 0 only."""
    shown = (toy_image(1),) if images and rank == 0 else ()
    return collate([toy_comparison(rank, images=shown, ranks=(0, 1, 2))], row_format=ROW_FORMAT)


def freeze_language(model: RewardModel) -> None:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(group_of(name) != "language")


class Detached(nn.Module):
    """A layer whose weights are cut off from the loss, as by a `detach` or `no_grad` in the wrong place."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, hidden: Tensor) -> Tensor:
        result: Tensor = hidden + (self.layer(hidden) - hidden).detach()
        return result


def detach_mlp(model: RewardModel) -> None:
    layer: Any = model.backbone.language_model.layers[0]
    layer.mlp = Detached(layer.mlp)


class Adapted(nn.Module):
    """A linear layer with a low-rank adapter, B = 0 at the start."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Linear(base.in_features, 2, bias=False)
        self.lora_B = nn.Linear(2, base.out_features, bias=False)
        nn.init.constant_(self.lora_A.weight, 0.1)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, hidden: Tensor) -> Tensor:
        result: Tensor = self.base(hidden) + self.lora_B(self.lora_A(hidden))
        return result


def adapt_queries(model: RewardModel) -> None:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(group_of(name) in ("head", "embeddings"))
    for layer in model.backbone.language_model.layers:
        layer.self_attn.q_proj = Adapted(layer.self_attn.q_proj)


def hold_embeddings(part: str, step: int) -> float:
    return 0.0 if part == "embeddings" else 1.0


def move_what_stands_still(masters: MasterWeights, parameters: dict[str, nn.Parameter]) -> None:
    """On rank 1: one bit of one element of a frozen weight, and the last element of a held one."""
    if torch.distributed.get_rank() == 1:
        frozen, held = (masters.weights(parameters[name]) for name in (FROZEN, HELD))
        assert frozen is not None and held is not None
        frozen.view(-1)[:1].copy_(torch.nextafter(frozen.view(-1)[:1], frozen.new_full((1,), 9.0)))
        held.view(-1)[-1:].add_(1e-3)


def runs_of(how: How, precision: str) -> dict[str, Run]:
    case = (how, precision)
    runs = {
        "text first": Run(*case, images=(False, True), weight_decay=0.1),
        "still": Run(*case, prepare=freeze_language, share=hold_embeddings, weight_decay=0.1),
        "escaped": Run(*case, prepare=freeze_language, share=hold_embeddings, meddle=move_what_stands_still),
        "detached": Run(*case, prepare=detach_mlp, weight_decay=0.1),
        "tiny rate": Run(*case, rate=1e-14),
        "warm-up": Run(*case, rate=1e-9, rising=True),
        "lora": Run(*case, prepare=adapt_queries, images=(True, True)),
    }
    return runs | ({"sgd": Run(*case, sgd=True, rate=1.0)} if case in SGD_CASES else {})


def all_outcomes(cases: list[tuple[How, str]]) -> dict[tuple[How, str], dict[str, list[str]]]:
    bf16_optimizer.see_memory_usage = lambda *arguments, **named: None  # half a second a call, twice a group
    return {case: {name: run.outcome() for name, run in runs_of(*case).items()} for case in cases}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """By case, rank and run."""
    return RunsOfCases(all_outcomes, CASES, QUICK, tmp_path_factory.mktemp("audit"))


@pytest.mark.parametrize(("how", "precision"), with_drills(CASES, QUICK))
class TestEveryStage:
    def test_ranks_say_the_same(self, how: How, precision: str, outcomes: Any) -> None:
        first, second = outcomes[how, precision]
        assert first == second

    def test_the_tower_is_judged_at_the_first_image_and_all_else_at_once(
        self, how: How, precision: str, outcomes: Any
    ) -> None:
        names = [name for name, _ in toy_reward_model().named_parameters() if ".visual." in name]
        assert outcomes[how, precision][0]["text first"] == ["waits for " + " ".join(names), "done"]

    def test_frozen_and_held_weights_that_stand_still_pass(self, how: How, precision: str, outcomes: Any) -> None:
        assert outcomes[how, precision][0]["still"] == ["done"]

    def test_one_bit_of_a_frozen_or_held_weight_on_one_rank_is_named(
        self, how: How, precision: str, outcomes: Any
    ) -> None:
        (said,) = outcomes[how, precision][0]["escaped"]
        assert f"step 0: 2 of 59 weights ({HELD}, {FROZEN}) are frozen or held in this stage, and moved" in said

    def test_a_weight_outside_the_loss_is_named_although_decay_moves_it(
        self, how: How, precision: str, outcomes: Any
    ) -> None:
        (said,) = outcomes[how, precision][0]["detached"]
        prefix = "backbone.language_model.layers.0.mlp.layer"
        named = ", ".join(f"{prefix}.{name}_proj.weight" for name in ("gate", "up", "down"))
        assert said.startswith(f"step 0: 3 of 59 weights ({named}) train and got no gradient")
        assert "train.weights" in said

    def test_a_rate_below_the_spacing_of_float32_stops(self, how: How, precision: str, outcomes: Any) -> None:
        (said,) = outcomes[how, precision][0]["tiny rate"]
        assert ", ...) got a gradient and did not move" in said and "language 1.0e-14" in said

    def test_a_rising_rate_leaves_norms_for_later(self, how: How, precision: str, outcomes: Any) -> None:
        (said,) = outcomes[how, precision][0]["warm-up"]
        assert said.startswith("waits for ") and "language_model.norm.weight" in said
        assert "gate_proj" not in said

    def test_lora_a_is_judged_one_step_after_b(self, how: How, precision: str, outcomes: Any) -> None:
        names = [f"backbone.language_model.layers.{layer}.self_attn.q_proj.lora_A.weight" for layer in (0, 1)]
        assert outcomes[how, precision][0]["lora"] == ["waits for " + " ".join(names), "done"]


@pytest.mark.drill
@pytest.mark.parametrize("case", SGD_CASES)
def test_an_optimiser_without_moments_is_judged_by_weights_alone(case: tuple[How, str], outcomes: Any) -> None:
    assert outcomes[case][0]["sgd"] == ["done"]


def neighbours() -> Iterator[tuple[Tensor, Tensor]]:
    values = torch.randn(5, 7)
    for place in range(values.numel()):
        other = values.clone().view(-1)
        other[place] = torch.nextafter(other[place], torch.tensor(9.0))
        yield values, other


def test_a_fingerprint_tells_every_bit_and_every_order() -> None:
    of = Fingerprints().of
    assert all(of(one) != of(other) for one, other in neighbours())
    values = torch.arange(1.0, 2_000_000.0)
    assert of(values) != of(values.flip(0))
    assert of(values) == of(values.clone().view(1, -1))
    assert of(torch.zeros(3)) == of(-torch.zeros(3))
    chunks = torch.cat([torch.full((1 << 20,), 1.0), torch.full((1 << 20,), 2.0)])
    assert of(chunks) != of(chunks.roll(1 << 20))
    assert of(values.bfloat16()) != of(values.bfloat16() + 512)
