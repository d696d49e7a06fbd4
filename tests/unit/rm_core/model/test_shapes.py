"""Sizes have the numbers of parameters that their model cards state; every small one makes a model that reloads."""

from pathlib import Path

import pytest
import torch
from toys import toy_comparison

from data_pipeline.config import EncodeConfig, PreprocessConfig
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import RecipeError
from rm_core.batches.packed import collate
from rm_core.model.backbone import load_backbone
from rm_core.model.config import HeadConfig, InitModelConfig
from rm_core.model.families import family_of, group_of
from rm_core.model.reward_model import RewardModel
from rm_core.model.shape_config import backbone_config
from rm_core.model.shapes import SHAPES
from rm_core.model_folder.folder import load_reward_model, save_reward_model
from rm_core.model_folder.initialise import initialise_model

IDS = {"<|endoftext|>": 0, "<|image_pad|>": 1, "<|video_pad|>": 2, "<|vision_start|>": 3, "<|vision_end|>": 4}
IDS |= {"<IMG_CONTEXT>": 5}
BILLIONS = {  # without embeddings, as the model cards of Qwen2.5 and Qwen3 give them
    "qwen2.5-0.5b": 0.36, "qwen2.5-1.5b": 1.31, "qwen2.5-3b": 2.77, "qwen2.5-7b": 6.53, "qwen2.5-14b": 13.1,
    "qwen2.5-32b": 31.0, "qwen2.5-72b": 70.0, "qwen3-0.6b": 0.44, "qwen3-1.7b": 1.4, "qwen3-4b": 3.6,
    "qwen3-8b": 6.95, "qwen3-14b": 13.2, "qwen3-32b": 31.2,
    "qwen3-vl-2b": 1.4, "qwen3-vl-4b": 3.6, "qwen3-vl-8b": 6.95, "qwen3-vl-32b": 31.2,
    "internvl3-1b": 0.36, "internvl3-2b": 1.31, "internvl3-8b": 6.53, "internvl3-14b": 13.1, "internvl3-38b": 31.0,
    "internvl3-78b": 70.0, "internvl3.5-1b": 0.44, "internvl3.5-2b": 1.4, "internvl3.5-4b": 3.6,
    "internvl3.5-8b": 6.95, "internvl3.5-14b": 13.2, "internvl3.5-38b": 31.2,
    "3b": 2.77, "7b": 6.53, "32b": 31.0, "72b": 70.0, "qwen2-vl-2b": 1.31, "qwen2-vl-7b": 6.53, "qwen2-vl-72b": 70.0,
}  # fmt: skip

OF_QWEN3_VL = {
    "qwen3-vl-2b": 2_127_532_032, "qwen3-vl-4b": 4_437_815_808, "qwen3-vl-8b": 8_767_123_696,
    "qwen3-vl-32b": 33_357_390_064,
}  # fmt: skip
"""With the tower, and the head of the vocabulary where it is no copy of the embeddings."""
OF_INTERNVL = {
    "internvl3-1b": 0.938, "internvl3-2b": 2.09, "internvl3-8b": 7.94, "internvl3-14b": 15.1, "internvl3-38b": 38.4,
    "internvl3-78b": 78.4, "internvl3.5-1b": 1.06, "internvl3.5-2b": 2.3, "internvl3.5-4b": 4.7, "internvl3.5-8b": 8.5,
    "internvl3.5-14b": 15.1, "internvl3.5-38b": 38.4,
}  # fmt: skip
"""Billions, likewise; the head is no copy in any size."""


@pytest.mark.parametrize("name", BILLIONS)
def test_public_sizes_have_the_published_number_of_parameters(name: str) -> None:
    config = backbone_config(name, vocab_size=151_665, special_ids=IDS)
    with torch.device("meta"):
        backbone = family_of(SHAPES[name].model_type).model_class(config)
    sizes: dict[str, int] = {}
    for parameter, value in backbone.named_parameters():
        group = group_of(f"backbone.{parameter}", SHAPES[name].model_type)
        sizes[group] = sizes.get(group, 0) + value.numel()
    assert sizes["language"] / 1e9 == pytest.approx(BILLIONS[name], rel=0.015)
    tower = sizes.get("vision", 0) + sizes.get("merger", 0)
    if SHAPES[name].model_type == "qwen3_vl":
        tied = 0 if name in ("qwen3-vl-2b", "qwen3-vl-4b") else sizes["embeddings"]
        assert sum(sizes.values()) + tied == OF_QWEN3_VL[name]
    elif SHAPES[name].model_type == "internvl":
        assert (sum(sizes.values()) + sizes["embeddings"]) / 1e9 == pytest.approx(OF_INTERNVL[name], rel=0.01, abs=0.05)
        large = name.endswith(("38b", "78b"))
        assert sizes["vision"] / 1e9 == pytest.approx(5.5 if large else 0.304, rel=0.01)
    else:
        assert tower == 0 if SHAPES[name].tower is None else tower / 1e9 == pytest.approx(0.68, rel=0.05)


def test_groups_of_parameters() -> None:
    names = {
        "backbone.visual.blocks.0.attn.qkv.weight": "vision",
        "backbone.visual.merger.mlp.0.weight": "merger",
        "backbone.language_model.layers.0.mlp.up_proj.weight": "language",
        "backbone.language_model.embed_tokens.weight": "embeddings",
        "head.layers.0.weight": "head",
    }
    assert {name: group_of(name) for name in names} == names
    deeper = {"visual.deepstack_merger_list.0.norm.weight": "merger", "visual.pos_embed.weight": "vision"}
    assert {name: group_of(f"backbone.{name}", "qwen3_vl") for name in deeper} == deeper
    of_internvl = {
        "vision_tower.encoder.layer.0.lambda_1": "vision",
        "vision_tower.embeddings.cls_token": "vision",
        "multi_modal_projector.linear_2.weight": "merger",
        "language_model.layers.0.mlp.up_proj.weight": "language",
        "language_model.embed_tokens.weight": "embeddings",
    }
    assert {name: group_of(f"backbone.{name}", "internvl") for name in of_internvl} == of_internvl
    assert group_of("backbone.embed_tokens.weight", "qwen3") == "embeddings"
    assert group_of("backbone.layers.0.mlp.up_proj.weight", "qwen3") == "language"


@pytest.mark.parametrize("name", [name for name in SHAPES if "tiny" in name])
def test_a_small_model_of_every_family_reloads(name: str, tmp_path: Path) -> None:
    config = InitModelConfig(output=str(tmp_path / "base"), shape=name, vocab_size=320)
    texts = ["the quick brown fox", "jumps over the lazy dog"] * 20
    family = family_of(SHAPES[name].model_type).images.name
    reads = PreprocessConfig(encode=EncodeConfig(family=family))
    initialise_model(config, reads, train_tokenizer=lambda folder: train_tokenizer(texts, 320, folder, family=family))
    model = RewardModel(load_backbone(str(tmp_path / "base"), dtype=torch.float32), HeadConfig())
    model.head.initialise(0)
    save_reward_model(
        str(tmp_path / "export"), model.backbone, model.head_config, model.state_dict().items(),
        processor_from=str(tmp_path / "base"), lineage={},
    )  # fmt: skip
    again = load_reward_model(str(tmp_path / "export"))
    batch = collate([toy_comparison(1, ranks=(0, 1, 2))], row_format=model.row_format)
    assert torch.equal(again(batch), model.eval()(batch))


def test_sliding_windows_are_refused(tmp_path: Path) -> None:
    config = backbone_config("qwen2.5-tiny", vocab_size=64, special_ids=IDS)
    config.layer_types = ["full_attention", "sliding_attention", "sliding_attention"]
    config.save_pretrained(tmp_path)
    with pytest.raises(RecipeError, match="2 layers of 'sliding_attention'"):
        load_backbone(str(tmp_path), dtype=torch.float32)
    with pytest.raises(RecipeError, match="type 'llama' is not known"):
        family_of("llama")
