"""The audit passes a healthy training at every ZeRO stage, and stops one whose weights do not do what they should."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from distributed_ranks import run_ranks
from torch import Tensor, nn
from toys import ROW_FORMAT, toy_comparison, toy_image, toy_reward_model

from data_pipeline.errors import RunError
from rm_core.batches.packed import PackedBatch, collate
from rm_core.model.families import group_of
from rm_core.model.reward_model import RewardModel
from rm_core.objectives.pairwise import bradley_terry
from rm_core.training.audit import WeightAudit
from rm_core.training.config import OptimizerConfig, TrainConfig, ZeroConfig
from rm_core.training.engine import ZeroEngine
from rm_core.training.fingerprint import Fingerprints
from rm_core.training.master_weights import MasterWeights

CASES = [(0, "fp32"), (1, "fp32"), (2, "fp32"), (3, "fp32"), (1, "bf16"), (2, "bf16"), (3, "bf16")]
RATE = 1e-3
Shares = Callable[[str, int], float]


@dataclass
class Run:
    """A few optimiser steps under audit."""

    stage: int
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
        engine = ZeroEngine(
            model, self._config(), self.share,
            make_optimizer=(lambda groups: torch.optim.SGD(groups, lr=self.rate)) if self.sgd else None,
        )  # fmt: skip
        masters = MasterWeights(self.stage, engine._engine.optimizer)
        audit = WeightAudit(model.named_parameters(), masters, group_of, engine.device)
        said = []
        for step, images in enumerate(self.images):
            rates = engine.learning_rates
            loss = bradley_terry(engine.forward(row(engine.world_rank, images)), row(0, images).labels.pairs)
            engine.backward(loss.sum)
            engine.step()
            if step == 0:
                self.meddle(masters, dict(model.named_parameters()))
            try:
                audit.after(step, rates, images=images, rising=self.rising)
                said.append("done" if audit.done else "waits for " + " ".join(audit.waiting))
            except RunError as error:
                said.append(str(error))
        return said

    def _config(self) -> TrainConfig:
        optimizer = OptimizerConfig(learning_rate=self.rate, weight_decay=self.weight_decay)
        return TrainConfig(precision=self.precision, zero=ZeroConfig(stage=self.stage), optimizer=optimizer)


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


def move_a_frozen_weight(masters: MasterWeights, parameters: dict[str, nn.Parameter]) -> None:
    """One bit of one element on rank 1: 1.0 and its next neighbour above."""
    shard = masters.weights(parameters["backbone.language_model.norm.weight"])
    assert shard is not None
    if torch.distributed.get_rank() == 1:
        with torch.no_grad():
            shard.view(-1)[:1].copy_(torch.nextafter(shard.view(-1)[:1], shard.new_full((1,), 9.0)))


def hold_embeddings(part: str, step: int) -> float:
    return 0.0 if part == "embeddings" else 1.0


def move_held_embeddings(masters: MasterWeights, parameters: dict[str, nn.Parameter]) -> None:
    shard = masters.weights(parameters["backbone.language_model.embed_tokens.weight"])
    if shard is not None:
        shard.view(-1)[-1:].add_(1e-3)


def runs_of(stage: int, precision: str) -> dict[str, Run]:
    case = (stage, precision)
    return {
        "healthy": Run(*case),
        "frozen": Run(*case, prepare=freeze_language),
        "held": Run(*case, share=hold_embeddings, weight_decay=0.1),
        "text first": Run(*case, images=(False, False, True), weight_decay=0.1),
        "detached": Run(*case, prepare=detach_mlp, weight_decay=0.1),
        "escaped": Run(*case, prepare=freeze_language, meddle=move_a_frozen_weight),
        "held escaped": Run(*case, share=hold_embeddings, meddle=move_held_embeddings),
        "tiny rate": Run(*case, rate=1e-14),
        "warm-up": Run(*case, rate=1e-9, rising=True),
        "lora": Run(*case, prepare=adapt_queries, images=(True, True)),
        "sgd": Run(*case, sgd=True, rate=1.0),
    }


def all_outcomes() -> dict[tuple[int, str], dict[str, list[str]]]:
    return {case: {name: run.outcome() for name, run in runs_of(*case).items()} for case in CASES}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """By case and run; both ranks said the same."""
    first, second = run_ranks(all_outcomes, 2, tmp_path_factory.mktemp("audit"))
    assert first == second
    return first


@pytest.mark.parametrize(("stage", "precision"), CASES)
class TestEveryStage:
    def test_a_healthy_step_is_done_at_once(self, stage: int, precision: str, outcomes: Any) -> None:
        for name in ("healthy", "frozen", "held", "sgd"):
            assert outcomes[stage, precision][name] == ["done"], name

    def test_the_tower_is_judged_at_the_first_image(self, stage: int, precision: str, outcomes: Any) -> None:
        first, second, third = outcomes[stage, precision]["text first"]
        names = [name for name, _ in toy_reward_model().named_parameters() if ".visual." in name]
        assert first == second == "waits for " + " ".join(names)
        assert third == "done"

    def test_a_weight_outside_the_loss_is_named_although_decay_moves_it(
        self, stage: int, precision: str, outcomes: Any
    ) -> None:
        (said,) = outcomes[stage, precision]["detached"]
        prefix = "backbone.language_model.layers.0.mlp.layer"
        assert said.startswith("step 0: 3 of ") and "no gradient" in said and "train.weights" in said
        assert f"({prefix}.gate_proj.weight, {prefix}.up_proj.weight, {prefix}.down_proj.weight)" in said

    def test_one_bit_of_a_frozen_weight_on_one_rank_is_named(self, stage: int, precision: str, outcomes: Any) -> None:
        (said,) = outcomes[stage, precision]["escaped"]
        assert "step 0: 1 of" in said and "weights (backbone.language_model.norm.weight) are frozen" in said

    def test_a_held_weight_that_moves_is_named(self, stage: int, precision: str, outcomes: Any) -> None:
        (said,) = outcomes[stage, precision]["held escaped"]
        assert "(backbone.language_model.embed_tokens.weight) are frozen or held in this stage, and moved" in said

    def test_a_rate_below_the_spacing_of_float32_stops(self, stage: int, precision: str, outcomes: Any) -> None:
        (said,) = outcomes[stage, precision]["tiny rate"]
        assert "got a gradient and did not move" in said and "language 1.0e-14" in said and ", ...)" in said

    def test_a_rising_rate_leaves_norms_for_later(self, stage: int, precision: str, outcomes: Any) -> None:
        (said,) = outcomes[stage, precision]["warm-up"]
        assert "language_model.norm.weight" in said and said.startswith("waits for ")
        assert "gate_proj" not in said

    def test_lora_a_is_judged_one_step_after_b(self, stage: int, precision: str, outcomes: Any) -> None:
        first, second = outcomes[stage, precision]["lora"]
        names = [f"backbone.language_model.layers.{layer}.self_attn.q_proj.lora_A.weight" for layer in (0, 1)]
        assert first == "waits for " + " ".join(names)
        assert second == "done"


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
