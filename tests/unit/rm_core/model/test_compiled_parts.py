"""Compiled parts of layers: the same rewards and gradients, one graph a part whatever layer and length, never eager."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from torch._dynamo.utils import counters
from torch.utils.flop_counter import FlopCounterMode
from toys import row_for, toy_comparison, toy_image, toy_reward_model

from data_pipeline.errors import RecipeError
from rm_core.batches.packed import PackedBatch
from rm_core.model import compiled
from rm_core.model.config import LoraConfig
from rm_core.model.families import FAMILIES
from rm_core.model.lora import add_adapters
from rm_core.model.reward_model import RewardModel
from rm_core.model.running import RECOMPUTE
from rm_core.training.watchdog.progress import watched_modules

CPU = torch.device("cpu")


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Graphs as on a GPU, run operator by operator: no kernels are made, which takes minutes."""
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    torch._dynamo.reset()
    compiled._compiled.cache_clear()
    counters.clear()
    yield
    compiled._compiled.cache_clear()
    torch._dynamo.reset()


def rows_of(model: RewardModel) -> list[PackedBatch]:
    """Of three lengths; the second is as long as the model is wide, the third has one Comparison."""
    images = (toy_image(1), toy_image(2, 84, 140)) if model.family.has_vision else ()
    items = [
        [toy_comparison(0, images=images), toy_comparison(1)],
        [toy_comparison(2)],
        [toy_comparison(3, images=images[:1])],
    ]
    rows = [row_for(model, row) for row in items]
    assert len({row.num_tokens for row in rows}) == 3
    return rows


def gradients(model: RewardModel, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of every weight that trains."""
    model.zero_grad()
    loss.backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def check(model: RewardModel, rows: list[PackedBatch]) -> None:
    """Rewards and gradients against those of the same model without graphs, and how many graphs there are."""
    for row in rows:
        model.compile_parts("none")
        plain = model(row)
        expected = gradients(model, plain.sum())
        model.compile_parts("parts")
        rewards = model(row)
        torch.testing.assert_close(rewards, plain, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(gradients(model, rewards.sum()), expected, rtol=1e-5, atol=1e-5)
    kinds = 2 if model.family.has_vision else 1
    assert counters["stats"]["unique_graphs"] == 2 * kinds, "one before and one after attention, for each kind of layer"
    assert not counters["graph_break"]


def test_one_graph_serves_all_layers_and_lengths(graphs: None) -> None:
    model = toy_reward_model(model_type="qwen2").train()
    model.recompute_activations("selective")
    check(model, rows_of(model))
    watched = dict(watched_modules(model))
    assert set(model.layers) <= set(watched.values())
    assert not [name for name in watched if "layers." in name and "mlp" in name], "hooks would break the graph"


@pytest.mark.drill
@pytest.mark.parametrize("model_type", FAMILIES)
@pytest.mark.parametrize("recompute", RECOMPUTE)
def test_every_family_and_way_to_recompute_is_equal(model_type: str, recompute: str, graphs: None) -> None:
    model = toy_reward_model(model_type=model_type).train()
    model.recompute_activations(recompute)
    check(model, rows_of(model))


@pytest.mark.drill
@pytest.mark.parametrize("recompute", RECOMPUTE)
def test_adapters_are_compiled_with_their_layers(recompute: str, graphs: None) -> None:
    model = toy_reward_model().train()
    add_adapters(model, {"language", "vision"}, LoraConfig(rank=4), seed=0)
    model.recompute_activations(recompute)
    for name, weight in model.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(0))
    check(model, rows_of(model))


def test_a_part_that_was_not_compiled_does_not_run() -> None:
    """Under a mode of PyTorch that the compiler does not know, it leaves functions as they are."""
    model = toy_reward_model(model_type="qwen3").eval()
    model._compiled = True
    (row, *_) = rows_of(model)
    with FlopCounterMode(display=False), pytest.raises(RuntimeError, match="did not compile a part of a layer"):
        model(row)


def test_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiled.compiles("auto", torch.device("cuda")) and compiled.compiles("parts", CPU)
    assert not compiled.compiles("auto", CPU) and not compiled.compiles("none", torch.device("cuda"))
    with pytest.raises(RecipeError, match="train.compile='all' is unknown; choose one of auto, parts, none"):
        compiled.compiles("all", CPU)
    monkeypatch.setattr(compiled.shutil, "which", lambda name: None)
    with pytest.raises(RecipeError, match=r"'parts' cannot run here: on a CPU it needs a C\+\+ compiler"):
        compiled.compiles("parts", CPU)
    monkeypatch.setattr(compiled, "dynamo", SimpleNamespace(disable=True))
    with pytest.raises(RecipeError, match="TORCHDYNAMO_DISABLE is set in the environment: unset it; or set train.c"):
        compiled.compiles("auto", torch.device("cuda"))
