"""FLOPs by arithmetic against PyTorch's own counter, published sizes, and loops over masks."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from toys import row_for, sized_for, toy_comparison, toy_image, toy_reward_model
from transformers import (
    InternVLConfig,
    InternVLModel,
    PretrainedConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLModel,
    Qwen2Config,
    Qwen2Model,
    Qwen2VLConfig,
    Qwen2VLModel,
    Qwen3Config,
    Qwen3Model,
    Qwen3VLConfig,
    Qwen3VLModel,
)

from data_pipeline.errors import RecipeError
from rm_core.batches.layout import Block, block_mask
from rm_core.model.flops import Flops, TextFlops, cost_model, peak_flops
from rm_core.model.shape_config import backbone_config
from rm_core.packing.row_sizes import attention_pairs
from rm_core.packing.sizes import PlanningTable

SPECIAL_IDS = {
    "<|endoftext|>": 0,
    "<|image_pad|>": 1,
    "<|video_pad|>": 2,
    "<|vision_start|>": 3,
    "<|vision_end|>": 4,
}
TEXT = {
    "vocab_size": 64,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
MROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [1, 1, 2]}}
VISION = {"depth": 4, "num_heads": 2, "initializer_range": 0.02}
TOKENS = {"image_token_id": 1, "video_token_id": 2, "vision_start_token_id": 3, "vision_end_token_id": 4}
CONFIGS: dict[str, PretrainedConfig] = {
    "qwen2_5_vl": Qwen2_5_VLConfig(
        text_config=TEXT | MROPE,
        vision_config=VISION
        | {"hidden_size": 32, "intermediate_size": 56, "out_hidden_size": 48, "fullatt_block_indexes": [1]}
        | {"window_size": 112},
        **TOKENS,
    ),
    "qwen2_vl": Qwen2VLConfig(
        text_config=TEXT | MROPE, vision_config=VISION | {"embed_dim": 32, "hidden_size": 48, "mlp_ratio": 4}, **TOKENS
    ),
    "qwen3_vl": Qwen3VLConfig(
        text_config=TEXT | MROPE | {"head_dim": 8},
        vision_config=VISION
        | {"hidden_size": 32, "intermediate_size": 56, "out_hidden_size": 48, "deepstack_visual_indexes": [0, 2]},
        **TOKENS,
    ),
    "internvl": InternVLConfig(
        text_config=TEXT | {"model_type": "qwen2"},
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 56,
            "num_hidden_layers": 4,
            "num_attention_heads": 2,
            "image_size": 56,
        },
        image_token_id=1,
    ),
    "qwen2": Qwen2Config(**TEXT),
    "qwen3": Qwen3Config(**TEXT, head_dim=16),
}
MODELS: dict[str, Any] = {
    "qwen2_5_vl": Qwen2_5_VLModel,
    "qwen2_vl": Qwen2VLModel,
    "qwen3_vl": Qwen3VLModel,
    "internvl": InternVLModel,
    "qwen2": Qwen2Model,
    "qwen3": Qwen3Model,
}
GRIDS = [(1, 4, 6), (1, 20, 8), (2, 10, 18), (1, 2, 2)]


def counted(run: Any, *arguments: Any, without: str = "rotary_emb", **named: Any) -> tuple[int, int]:
    """(linear layers, attention) as PyTorch counts a call; modules whose name ends with `without` are left out."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        run(*arguments, **named)
    counts = {"linear": 0, "attention": 0}
    for sign, modules in ((1, ["Global"]), (-1, [name for name in counter.flop_counts if name.endswith(without)])):
        for module in modules:
            for op, flops in counter.flop_counts[module].items():
                linear = any(name in str(op) for name in ("addmm", "aten.mm", "convolution"))
                counts["linear" if linear else "attention"] += sign * flops
    return counts["linear"], counts["attention"]


@pytest.mark.parametrize("family", CONFIGS)
def test_the_decoder_counts_as_pytorch_counts(family: str) -> None:
    config = CONFIGS[family]
    config._attn_implementation = "eager"
    model = MODELS[family](config)
    length = 23
    linear, attention = counted(model, input_ids=torch.full((1, length), 7))
    text = Flops.of(config).text
    assert text.forward(length, 0, last_mlp_tokens=length) == linear
    # PyTorch counts the whole square, of which the mask leaves about a half.
    assert text.layers * text.pair * length**2 == attention


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen2_vl", "qwen3_vl"])
def test_the_tower_counts_as_pytorch_counts_with_its_windows(family: str) -> None:
    config = CONFIGS[family]
    config._attn_implementation = "eager"
    tower = MODELS[family](config).visual
    patches = sum(frames * rows * columns for frames, rows, columns in GRIDS)
    linear, attention = counted(
        tower, torch.zeros(patches, 1536 if family == "qwen3_vl" else 1176), grid_thw=torch.tensor(GRIDS)
    )
    vision = Flops.of(config).vision
    assert vision is not None
    assert vision.patch * patches == linear
    assert vision.forward(GRIDS) == linear + attention


def test_tiles_count_as_pytorch_counts_with_their_token_more() -> None:
    config = CONFIGS["internvl"]
    config._attn_implementation = "eager"
    linear, attention = counted(InternVLModel(config).get_image_features, torch.zeros(5, 3, 56, 56))
    vision = Flops.of(config).vision
    assert vision is not None
    assert vision.forward([(3, 4, 4), (2, 4, 4)]) == linear + attention
    assert 5 * (vision.patch * 16 + vision.more) == linear
    assert vision.costs == (vision.forward([(1, 4, 4)]) / 16, 0)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "internvl"])
def test_a_packed_row_costs_what_the_model_runs(family: str) -> None:
    model = toy_reward_model(model_type=family)
    image = sized_for(model.row_format.images, toy_image(0, 56, 168))
    item = toy_comparison(0, images=(image,), ranks=(0, 1, 2))
    linear, _ = counted(model, row_for(model, [item]), without=".head")
    flops = Flops.of(model.backbone.config)
    lengths = [len(ids) for ids in item.response_ids]
    pairs = attention_pairs(len(item.prefix_ids), lengths)
    whole = flops.forward(len(item.prefix_ids), lengths, [image.grid])
    assert flops.vision is not None
    attention = flops.text.layers * flops.text.pair * pairs
    attention += flops.vision.forward([image.grid]) - flops.vision.patch * image.num_patches
    attention -= flops.vision.more * image.grid[0]
    assert whole - attention == linear


def test_allowed_pairs_are_those_of_the_mask() -> None:
    assert attention_pairs(3, [2, 1]) == 19
    for prefix, responses in ((1, (1,)), (9, (4, 1, 7)), (5, (3, 3))):
        mask = block_mask(Block(0, prefix, responses))
        assert attention_pairs(prefix, responses) == int(mask.sum())


@pytest.mark.parametrize(("size", "billions"), [("3b", 2.77), ("7b", 6.53), ("32b", 31.0), ("72b", 70.0)])
def test_linear_layers_of_the_public_sizes_are_their_published_parameters(size: str, billions: float) -> None:
    """Qwen2.5's model cards: parameters without embeddings."""
    text = Flops.of(backbone_config(size, vocab_size=2048, special_ids=SPECIAL_IDS)).text
    assert text.layers * (text.attention + text.mlp) / 2 == pytest.approx(billions * 1e9, rel=0.01)


def test_separate_sequences_pay_for_prompt_and_images_each_time() -> None:
    flops = Flops.of(CONFIGS["qwen2_5_vl"])
    one = flops.forward(10, [5], GRIDS, pooled_last_layer=False)
    assert flops.forward_separate(10, [5], GRIDS) == one
    assert flops.forward_separate(10, [5, 5], GRIDS) == 2 * one
    assert flops.forward_separate(10, [5, 3], padded_to=20) == 2 * flops.forward(20, [], pooled_last_layer=False)
    assert flops.forward(10, [5, 5], GRIDS) < 2 * one
    with pytest.raises(ValueError, match="15 tokens does not fit into padded_to=14"):
        flops.forward_separate(10, [5], padded_to=14)


def test_the_cost_of_the_planning_table_is_the_forward_pass() -> None:
    # 112 x 224 pixels are two whole windows: nothing is rounded up.
    image = toy_image(0, 112, 224)
    items = [toy_comparison(0, images=(image,), ranks=(0, 1, 2)), toy_comparison(1, ranks=(1, 0))]
    config = CONFIGS["qwen2_5_vl"]
    table = PlanningTable.from_comparisons(items, cost_model(config))
    for cost, item in zip(table.cost, items, strict=True):
        lengths = [len(ids) for ids in item.response_ids]
        assert cost == Flops.of(config).forward(len(item.prefix_ids), lengths, [one.grid for one in item.images])


def test_text_only_backbones_refuse_images_and_unknown_ones_are_named() -> None:
    with pytest.raises(ValueError, match="reads text only"):
        Flops.of(CONFIGS["qwen2"]).forward(10, [5], GRIDS)
    assert cost_model(CONFIGS["qwen3"]).patch == 0
    with pytest.raises(RecipeError, match="'bert'"):
        Flops.of(PretrainedConfig.from_dict({"model_type": "bert"}))


def test_a_head_dimension_of_its_own_counts() -> None:
    assert TextFlops.of(CONFIGS["qwen3"]).pair == 4 * 6 * 16
    assert TextFlops.of(CONFIGS["qwen2"]).pair == 4 * 48


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA B200", 2250e12),
        ("Some Other GPU", None),
    ],
)
def test_peaks_are_found_by_the_name_of_the_device(name: str, peak: float | None) -> None:
    assert peak_flops(name, torch.bfloat16) == peak
    assert peak_flops(name, torch.float32) is None


def test_the_planning_benchmark_uses_the_cost_model_of_7b() -> None:
    from benchmarks.plan.cases import COST_MODEL

    assert cost_model(backbone_config("7b", vocab_size=2048, special_ids=SPECIAL_IDS)) == COST_MODEL
