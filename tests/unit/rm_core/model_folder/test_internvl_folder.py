"""InternVL3 from a folder of the hub, by the names of its files, and pictures of another family refused."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from separate_rows import separate_rewards
from toys import VOCABULARY, prepared_for, toy_comparison, toy_image
from transformers import InternVLForConditionalGeneration

from data_pipeline.config import EncodeConfig, PreprocessConfig
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import RecipeError
from data_pipeline.media import INTERNVL
from rm_core.batches.packed import collate
from rm_core.model.backbone import load_backbone, read_config
from rm_core.model.config import HeadConfig, InitModelConfig
from rm_core.model.families import family_of
from rm_core.model.reward_model import RewardModel
from rm_core.model_folder.initialise import initialise_model
from rm_core.model_folder.language_head import read_language_head
from rm_core.model_folder.reading import check_family, check_tiles

ITEMS = [
    prepared_for(INTERNVL, toy_comparison(seed, images=(toy_image(seed),) * (seed % 2), ranks=(0, 1)))
    for seed in range(3)
]
# The keys of the published files, with the numbers of the toys.
CONFIG: dict[str, Any] = {
    "architectures": ["InternVLForConditionalGeneration"],
    "downsample_ratio": 0.5,
    "image_seq_length": 256,
    "image_token_id": 1,
    "model_type": "internvl",
    "projector_hidden_act": "gelu",
    "text_config": {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 48,
        "max_position_embeddings": 32768,
        "max_window_layers": 70,
        "model_type": "qwen2",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_scaling": {"factor": 2.0, "rope_type": "dynamic", "type": "dynamic"},
        "rope_theta": 1000000.0,
        "sliding_window": None,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": VOCABULARY,
    },
    "torch_dtype": "bfloat16",
    "transformers_version": "4.52.0.dev0",
    "vision_config": {
        "architectures": ["InternVisionModel"],
        "attention_bias": True,
        "attention_dropout": 0.0,
        "dropout": 0.0,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "hidden_size": 32,
        "image_size": [448, 448],
        "initializer_factor": 0.1,
        "initializer_range": 1e-10,
        "intermediate_size": 48,
        "layer_norm_eps": 1e-06,
        "layer_scale_init_value": 0.1,
        "model_type": "internvl_vision",
        "norm_type": "layer_norm",
        "num_attention_heads": 2,
        "num_channels": 3,
        "num_hidden_layers": 2,
        "patch_size": [14, 14],
        "projection_dropout": 0.0,
        "torch_dtype": "bfloat16",
        "use_absolute_position_embeddings": True,
        "use_mask_token": False,
        "use_mean_pooling": True,
        "use_qk_norm": False,
    },
    "vision_feature_layer": -1,
    "vision_feature_select_strategy": "default",
}
NAMES = {
    "language_model.lm_head.weight",
    "language_model.model.embed_tokens.weight",
    "language_model.model.layers.1.self_attn.q_proj.bias",
    "multi_modal_projector.linear_1.weight",
    "vision_tower.embeddings.cls_token",
    "vision_tower.embeddings.patch_embeddings.projection.weight",
    "vision_tower.embeddings.position_embeddings",
    "vision_tower.encoder.layer.1.attention.projection_layer.bias",
    "vision_tower.encoder.layer.0.lambda_1",
    "vision_tower.encoder.layer.0.layernorm_before.weight",
}


def published(name: str) -> str:
    """The name under which the files of the hub have a weight of today's class."""
    name = name.removeprefix("model.")
    return name.replace("language_model.", "language_model.model.").replace("lm_head.", "language_model.lm_head.")


@pytest.fixture(scope="module")
def hub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    torch.manual_seed(5)
    config: Any = InternVLForConditionalGeneration.config_class.from_pretrained(folder)
    whole: Any = InternVLForConditionalGeneration(config)
    with torch.no_grad():
        for value in whole.model.vision_tower.parameters():
            value.copy_(torch.randn_like(value) * 0.2)
    # Copies: the head is no second name of the embeddings in these files.
    weights = {published(name): value.to(torch.bfloat16).clone() for name, value in whole.state_dict().items()}
    assert weights.keys() >= NAMES
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    train_tokenizer(["What is it? A wren."], 300, str(folder), family="internvl")
    return folder


def test_a_folder_of_the_hub_gives_the_rewards_of_transformers(hub_folder: Path) -> None:
    model = RewardModel(load_backbone(str(hub_folder), dtype=torch.float32), HeadConfig()).eval()
    model.head.initialise(0)
    assert model.row_format.longest == 32768
    known = load_file(hub_folder / "model.safetensors")
    weight = model.backbone.language_model.layers[1].self_attn.q_proj.bias
    assert torch.equal(weight, known["language_model.model.layers.1.self_attn.q_proj.bias"].float())
    whole: Any = InternVLForConditionalGeneration.from_pretrained(hub_folder, dtype=torch.float32).eval()
    theirs: Any = SimpleNamespace(
        backbone=whole.model, family=family_of("internvl"), head=model.head, head_config=model.head_config
    )
    with torch.inference_mode():
        plain = torch.cat([separate_rewards(theirs, item) for item in ITEMS])
        torch.testing.assert_close(model(collate(ITEMS, row_format=model.row_format)), plain, rtol=1e-5, atol=1e-5)


def test_other_tiles_than_those_that_pictures_are_cut_into_are_refused(tmp_path: Path) -> None:
    config = CONFIG | {"vision_config": CONFIG["vision_config"] | {"image_size": [224, 224]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        RecipeError, match="'base' sees tiles of 224 pixels .*family=internvl are cut into tiles of 448"
    ):
        check_tiles(read_config(str(tmp_path)), "'base'")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    check_tiles(read_config(str(tmp_path)), "'base'")


def test_a_critic_cannot_stand_on_it(hub_folder: Path) -> None:
    with pytest.raises(
        RecipeError, match="is a internvl, whose language head is not read yet, .*: take one of qwen2_5_vl"
    ):
        read_language_head(str(hub_folder), load_backbone(str(hub_folder), dtype=torch.float32))


def test_pictures_of_another_family_are_refused() -> None:
    with pytest.raises(RecipeError, match="a is a internvl, and b prepares pictures for qwen2.5-vl: set .*=internvl"):
        check_family("internvl", EncodeConfig(), names=("a", "b"), cure="set {settings}")


def test_a_new_model_needs_the_tokens_of_its_pictures(tmp_path: Path) -> None:
    config = InitModelConfig(output=str(tmp_path / "base"), shape="internvl3-tiny", vocab_size=300)
    with pytest.raises(RecipeError, match="needs a tokenizer with the special token <IMG_CONTEXT>"):
        initialise_model(
            config,
            PreprocessConfig(encode=EncodeConfig(family="internvl")),
            train_tokenizer=lambda folder: train_tokenizer(["A wren."], 300, folder),
        )
