"""Bytes that are kept of a row for its backward pass, counted by PyTorch's profiler, against the planner's formula."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate
from typing import Any

import pytest
import torch
from toys import row_for, toy_comparison, toy_image

from rm_core.model import norms, padded_linear
from rm_core.model.backbone import DTYPES, new_backbone
from rm_core.model.config import HeadConfig
from rm_core.model.reward_model import RewardModel
from rm_core.planner.activations import activations_of, decoder_layer
from rm_core.planner.architecture import architecture_of, config_of_shape
from rm_core.planner.setting import Row, Setting
from rm_core.train_config.config import TrainConfig

PRECISIONS = {"fp32": "float32", "bf16": "bfloat16"}


def with_toy_ids(config: Any) -> Any:
    config.image_token_id = 1
    if config.model_type != "internvl":
        config.video_token_id, config.vision_start_token_id, config.vision_end_token_id = 0, 2, 3
    return config


def kept_bytes(model: RewardModel, row: Any) -> int:
    """Bytes that stay allocated from the forward to the backward pass, whoever keeps them: autograd or a cache."""
    model(row)
    with allocations() as sizes:
        rewards = model(row)
    assert rewards.requires_grad
    return sum(sizes) + row.pixel_values.nbytes  # the patch embedding keeps the row's own


@contextmanager
def allocations() -> Iterator[list[int]]:
    """Bytes of every allocation in the block, those given back negative, in order."""
    sizes: list[int] = []
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        yield sizes
    assert profile.profiler is not None
    events = [one for one in profile.profiler.kineto_results.events() if one.name() == "[memory]"]
    sizes += [one.nbytes() for one in sorted(events, key=lambda one: one.start_ns())]


def model_and_row(shape: str, precision: str, *, words: int) -> tuple[RewardModel, Any, Row]:
    backbone = new_backbone(with_toy_ids(config_of_shape(shape)), seed=0, dtype=DTYPES[PRECISIONS[precision]])
    model = RewardModel(backbone, HeadConfig())
    model.head.initialise(0)
    model.train()
    side, count = (56, 1) if shape.startswith("internvl") else (168, 3)  # one tile, of 1,024 patches
    items = [
        toy_comparison(seed, images=(toy_image(seed, side, side),), prefix_text=words, response_text=words)
        for seed in range(count)
    ]
    row = row_for(model, items)
    return model, row, Row(tokens=row.num_tokens, patches=len(row.pixel_values), pooled=row.labels.num_responses)


@pytest.mark.parametrize(
    "shape", ["tiny", "qwen2-vl-tiny", "qwen3-vl-tiny", "internvl3-tiny", pytest.param("mid", marks=pytest.mark.drill)]
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_row_keeps_what_the_formula_says(shape: str, precision: str) -> None:
    model, row, size = model_and_row(shape, precision, words=60)
    for recompute in ("none", "selective", "full"):
        model.recompute_activations(recompute)
        config = TrainConfig(precision=precision, activation_checkpointing=recompute, attention="sdpa")
        setting = replace(Setting.of(config), fused=False)
        planned = activations_of(architecture_of(config_of_shape(shape), config), setting, size)
        assert planned.kept == pytest.approx(kept_bytes(model, row), rel=0.1), recompute


class KeepingNorm(torch.autograd.Function):
    """Keeps the input and the inverse of its root mean square; it is never run backward."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        wide = hidden.float()
        inverse = torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
        ctx.save_for_backward(hidden, weight, inverse)
        return (wide * inverse).to(hidden.dtype) * weight


@pytest.mark.parametrize("shape", ["tiny", "qwen2-vl-tiny", pytest.param("qwen3-vl-tiny", marks=pytest.mark.drill)])
def test_a_row_keeps_less_as_gpus_run_it(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a norm that keeps what PyTorch's fused kernel keeps; on CPUs PyTorch has none."""
    model, row, size = model_and_row(shape, "bf16", words=60)
    monkeypatch.setattr(
        norms, "rms_norm", lambda hidden, _, weight, epsilon: KeepingNorm.apply(hidden, weight, epsilon)
    )
    monkeypatch.setattr(norms, "STEP_BY_STEP", set())
    monkeypatch.setitem(padded_linear.MULTIPLES, "cpu", 128)
    for recompute in ("none", "selective"):
        model.recompute_activations(recompute)
        config = TrainConfig(activation_checkpointing=recompute, attention="sdpa")
        planned = activations_of(architecture_of(config_of_shape(shape), config), Setting.of(config), size)
        assert planned.kept == pytest.approx(kept_bytes(model, row), rel=0.1), recompute


def peak_bytes(model: RewardModel, row: Any) -> int:
    """Bytes that a forward and a backward pass take at most, beyond what was there."""
    with allocations() as sizes:
        model(row).sum().backward()
    return max(accumulate(sizes))


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_a_row_takes_no_more_than_planned(recompute: str) -> None:
    model, row, size = model_and_row("tiny", "fp32", words=400)
    model.recompute_activations(recompute)
    model(row).sum().backward()  # gradients of the weights are there from now on
    config = TrainConfig(precision="fp32", activation_checkpointing=recompute, attention="sdpa")
    setting = replace(Setting.of(config), fused=False)
    planned = activations_of(architecture_of(config_of_shape("tiny"), config), setting, size)
    peak = peak_bytes(model, row)
    assert peak <= planned.kept + planned.working <= 1.5 * peak


def test_the_worked_layer_of_7b() -> None:
    layer = decoder_layer(config_of_shape("7b").text_config, 2, kernel="flex")
    assert layer.whole == 2 * (4 * 3584 + 4) + 2 * (2 * 3584 + 2 * 512) + 4 * 28 + 8 * 18944 == 196_728
    assert layer.input == layer.of("full") == 7_168
    assert layer.of("selective") == 2 * (2 * 3584 + 2 * 512) + 4 * 28 + 2 * 3 * 3584 + 2 * 2 * 18944 == 113_776


def test_a_frozen_tower_keeps_nothing() -> None:
    config = TrainConfig()
    config.weights.vision.train = "frozen"
    frozen = activations_of(architecture_of(config_of_shape("7b"), config), Setting.of(config), Setting.of(config).row)
    config.weights.merger.train = "frozen"
    still = activations_of(architecture_of(config_of_shape("7b"), config), Setting.of(config), Setting.of(config).row)
    assert frozen.vision == 32_768 * 4 * 2 * 1280
    assert still.vision == 0


def test_a_critic_needs_its_language_head_and_the_logits_of_a_chunk() -> None:
    backbone, row = config_of_shape("qwen2.5-0.5b"), Row(tokens=4096, patches=0, pooled=8)
    scalar, critic = TrainConfig(), TrainConfig(paradigm="critic")
    plain, writes = architecture_of(backbone, scalar), architecture_of(backbone, critic)
    table = backbone.vocab_size * backbone.hidden_size
    assert writes.by_part["embeddings"] - plain.by_part["embeddings"] == writes.numel - plain.numel == table
    backbone.tie_word_embeddings = True
    assert architecture_of(backbone, critic).numel == plain.numel, "one weight for both"
    kept, more = (activations_of(arch, Setting.of(config), row) for arch, config in ((plain, scalar), (writes, critic)))
    assert more.decoder > kept.decoder
    assert 0.7e9 < more.working < 0.81e9, "of three chunks of 256 MiB"
