"""Adapters leave a model as it is at the start, train alone, and merge back into plain weights."""

import math
import random
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from toys import row_for, toy_comparison, toy_image, toy_reward_model

from data_pipeline.errors import RecipeError, RunError
from rm_core.batches.packed import PackedBatch
from rm_core.model.config import LoraConfig
from rm_core.model.families import FAMILIES, group_of
from rm_core.model.lora import add_adapters, merged
from rm_core.model.reward_model import RewardModel
from rm_core.model_folder.folder import load_reward_model, save_reward_model

LORA = LoraConfig(rank=4, alpha=6.0)
SEEING = [name for name, family in FAMILIES.items() if family.has_vision]
CASES = [(name, {"language"}) for name in FAMILIES] + [
    (name, groups) for name in SEEING for groups in ({"vision"}, {"merger"}, {"vision", "merger", "language"})
]


def row(model: RewardModel) -> PackedBatch:
    images = (toy_image(1),) if model.family.has_vision else ()
    items = [toy_comparison(seed, images=images, ranks=(0, 1, 2)) for seed in range(2)]
    return row_for(model, items)


def randomise_b(model: nn.Module) -> None:
    """What training would do, and more of it: B is 0 only at the start."""
    generator = torch.Generator().manual_seed(5)
    for name, parameter in model.named_parameters():
        if ".lora_B." in name:
            parameter.data = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)


def adapted(model_type: str, groups: set[str], config: LoraConfig = LORA) -> RewardModel:
    model = toy_reward_model(model_type=model_type).eval()
    add_adapters(model, groups, config, seed=3)
    return model


def adapters_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in model.named_parameters() if ".lora_" in name}


@pytest.mark.parametrize(("model_type", "groups"), CASES)
def test_the_start_is_the_same_model_and_only_adapters_of_the_groups_train(model_type: str, groups: set[str]) -> None:
    plain, model = toy_reward_model(model_type=model_type).eval(), toy_reward_model(model_type=model_type).eval()
    linear = [
        module
        for name, module in plain.named_modules()
        if isinstance(module, nn.Linear) and group_of(f"{name}.weight", model_type) in groups
    ]
    num_weights = add_adapters(model, groups, LORA, seed=3)
    assert num_weights == sum(4 * (layer.in_features + layer.out_features) for layer in linear)
    assert torch.equal(model(row(model)), plain(row(plain)))
    for name, parameter in model.named_parameters():
        in_groups = group_of(name, model_type) in groups
        assert parameter.requires_grad == ((".lora_" in name) if in_groups else True), name
        assert in_groups or ".lora_" not in name
    assert len(adapters_of(model)) == 2 * len(linear)


@pytest.mark.parametrize(("model_type", "groups"), CASES)
def test_every_adapter_gets_a_gradient_and_no_frozen_weight_does(model_type: str, groups: set[str]) -> None:
    model = adapted(model_type, groups).train()
    randomise_b(model)
    model(row(model)).square().sum().backward()
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
        elif group_of(name, model_type) in groups:
            assert parameter.grad is None, name


@pytest.mark.parametrize("recompute", ["selective", "full"])
def test_recomputed_layers_give_adapters_the_same_gradients(recompute: str) -> None:
    gradients = []
    for which in ("none", recompute):
        model = adapted("qwen2_5_vl", {"vision", "merger", "language"}).train()
        randomise_b(model)
        model.recompute_activations(which)
        model(row(model)).square().sum().backward()
        gradients.append({name: value.grad for name, value in adapters_of(model).items()})
    torch.testing.assert_close(gradients[1], gradients[0])


def test_other_groups_keep_what_they_were() -> None:
    model = toy_reward_model()
    model.backbone.language_model.embed_tokens.requires_grad_(False)
    add_adapters(model, {"vision"}, LORA, seed=0)
    trained = {group_of(name) for name, value in model.named_parameters() if value.requires_grad}
    assert trained == {"vision", "merger", "language", "head"}


def test_no_groups_no_change() -> None:
    model = toy_reward_model()
    assert add_adapters(model, set(), LORA, seed=0) == 0
    assert model.state_dict().keys() == toy_reward_model().state_dict().keys()
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(("model_type", "groups"), CASES)
def test_merged_weights_load_as_a_plain_model_of_the_same_rewards(
    model_type: str, groups: set[str], tmp_path: Path
) -> None:
    model = adapted(model_type, groups)
    untrained = model(row(model))
    randomise_b(model)
    plain = dict(merged(model.named_parameters(), LORA))
    assert plain.keys() == dict(toy_reward_model(model_type=model_type).named_parameters()).keys()
    save_reward_model(
        str(tmp_path), model.backbone, model.head_config, plain.items(), processor_from="nowhere", lineage={"step": 1}
    )
    loaded = load_reward_model(str(tmp_path))
    expected = model(row(model))
    assert (expected - untrained).abs().max() > 1e-2
    torch.testing.assert_close(loaded(row(loaded)), expected, rtol=1e-5, atol=1e-5)


def test_merged_by_hand_in_bf16() -> None:
    base = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.bfloat16)
    weights = {
        "l.base_layer.weight": base,
        "l.base_layer.bias": torch.ones(2),
        "l.lora_A.default.weight": torch.tensor([[1.0, 2.0]]),
        "l.lora_B.default.weight": torch.tensor([[1.0], [3.0]]),
    }
    plain = dict(merged(weights.items(), LoraConfig(rank=1, alpha=0.5)))
    assert plain.keys() == {"l.weight", "l.bias"}
    assert plain["l.weight"].dtype == torch.bfloat16
    assert plain["l.weight"].tolist() == [[1.5, 1.0], [1.5, 4.0]]


def test_order_does_not_matter_and_one_layer_is_held_at_a_time() -> None:
    model = adapted("qwen2_5_vl", {"vision", "merger", "language"})
    randomise_b(model)
    weights = list(model.named_parameters())
    expected = dict(merged(weights, LORA))
    shuffled = random.Random(0).sample(weights, len(weights))
    found = dict(merged(shuffled, LORA))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    taken: list[str] = []

    def stream() -> object:
        for name, value in weights:
            taken.append(name)
            yield name, value

    for count, _ in enumerate(merged(stream(), LORA), start=1):  # type: ignore[arg-type]
        given = sum(".lora_" not in name for name in taken)
        assert given - count <= 1


def test_a_missing_part_and_another_rank_are_named() -> None:
    weights = dict(adapted("qwen2", {"language"}).named_parameters())
    with pytest.raises(RunError, match=r"train\.lora\.rank=8"):
        dict(merged(weights.items(), LoraConfig(rank=8)))
    del weights["backbone.layers.1.mlp.up_proj.lora_B.default.weight"]
    with pytest.raises(RunError, match=r"backbone\.layers\.1\.mlp\.up_proj"):
        dict(merged(weights.items(), LORA))


def test_the_seed_decides_and_the_random_state_stays() -> None:
    first, second = adapted("qwen2_5_vl", {"language"}), adapted("qwen2_5_vl", {"language"})
    other = toy_reward_model()
    before = torch.random.get_rng_state()
    add_adapters(other, {"language"}, LORA, seed=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, value in adapters_of(first).items():
        assert torch.equal(value, adapters_of(second)[name])
        assert torch.equal(value, adapters_of(other)[name]) == (".lora_B." in name)
        # Uniform within 1 / sqrt(inputs): the start of a Linear.
        bound = 0.0 if ".lora_B." in name else 1 / math.sqrt(value.shape[1])
        assert bound * 0.8 <= value.abs().max() <= bound


def test_adapters_are_of_the_type_of_the_weights() -> None:
    model = toy_reward_model().to(torch.bfloat16)
    add_adapters(model, {"language", "vision"}, LORA, seed=0)
    assert {value.dtype for value in adapters_of(model).values()} == {torch.bfloat16}


def test_dropout_changes_training_and_not_scoring() -> None:
    model = adapted("qwen2_5_vl", {"language"}, LoraConfig(rank=4, alpha=6.0, dropout=0.5))
    randomise_b(model)
    scored = model(row(model))
    assert torch.equal(model(row(model)), scored)
    without = adapted("qwen2_5_vl", {"language"})
    randomise_b(without)
    assert torch.equal(without(row(without)), scored)
    model.train()
    assert not torch.allclose(model(row(model)), scored)
    without.train()
    assert torch.equal(without(row(without)), scored)


@pytest.mark.parametrize(
    ("targets", "groups", "layers"),
    [
        (["q_proj", "v_proj"], {"language"}, {"q_proj", "v_proj"}),
        (["qkv", "attn.proj"], {"vision"}, {"qkv", "proj"}),
        (["mlp.0", "o_proj"], {"merger", "language"}, {"0", "o_proj"}),
        ([], {"vision"}, {"qkv", "proj", "gate_proj", "up_proj", "down_proj"}),
        ([], {"merger"}, {"0", "2"}),
    ],
)
def test_targets_choose_layers(targets: list[str], groups: set[str], layers: set[str]) -> None:
    model = adapted("qwen2_5_vl", groups, LoraConfig(rank=2, targets=targets))
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in adapters_of(model)} == layers


@pytest.mark.parametrize(
    ("targets", "groups", "message"),
    [
        (["q_porj"], {"language"}, r"train\.lora\.targets names 'q_porj'.*there are .*q_proj"),
        (["q_proj", "qkv"], {"language"}, r"train\.lora\.targets names 'qkv'"),
        (["q_proj"], {"language", "vision"}, r"train\.lora\.targets=\['q_proj'\] finds no linear layer in vision of"),
        (["proj"], {"language"}, r"names 'proj'"),
        (["patch_embed.proj"], {"vision"}, r"names 'patch_embed\.proj'"),
    ],
)
def test_targets_that_match_nothing_are_refused(targets: list[str], groups: set[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        adapted("qwen2_5_vl", groups, LoraConfig(targets=targets))


def test_a_text_backbone_has_no_tower_to_adapt() -> None:
    with pytest.raises(RecipeError, match="finds no linear layer in vision of a qwen3 backbone"):
        adapted("qwen3", {"vision", "language"})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (LoraConfig(rank=0), r"train\.lora\.rank=0"),
        (LoraConfig(alpha=0.0), r"train\.lora\.alpha=0\.0"),
        (LoraConfig(dropout=1.0), r"train\.lora\.dropout=1\.0"),
        (LoraConfig(dropout=-0.1), r"train\.lora\.dropout=-0\.1"),
    ],
)
def test_bad_values_are_refused(config: LoraConfig, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        adapted("qwen2", {"language"}, config)
