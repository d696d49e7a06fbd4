"""Qwen3-VL from a folder of the hub, and models and pictures of different families kept apart."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from separate_rows import separate_rewards
from toys import VOCABULARY, prepared_for, toy_comparison, toy_config, toy_image
from transformers import Qwen3VLForConditionalGeneration

from data_pipeline.config import EncodeConfig, PreprocessConfig, SourceConfig, SplitConfig
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import RecipeError
from data_pipeline.media import QWEN3_VL
from data_pipeline.pipeline import prepare
from rm_core.batches.packed import collate
from rm_core.model.backbone import load_backbone
from rm_core.model.config import HeadConfig, InitModelConfig
from rm_core.model.families import family_of
from rm_core.model.reward_model import RewardModel
from rm_core.model_folder.import_model import import_model
from rm_core.model_folder.initialise import initialise_model
from rm_core.model_folder.reading import check_base, check_family
from rm_core.planner.architecture import config_of_shape
from rm_core.planner.workload import workload_of_data

QWEN3 = EncodeConfig(family="qwen3-vl")
ITEMS = [
    prepared_for(QWEN3_VL, toy_comparison(seed, images=(toy_image(seed, 84, 56),) * (seed % 2), ranks=(0, 1, 2)))
    for seed in range(3)
]
# The keys of the published files, with the numbers of the toys.
CONFIG: dict[str, Any] = {
    "architectures": ["Qwen3VLForConditionalGeneration"],
    "image_token_id": 1,
    "model_type": "qwen3_vl",
    "text_config": {
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "dtype": "bfloat16",
        "eos_token_id": 0,
        "head_dim": 8,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 48,
        "max_position_embeddings": 262144,
        "model_type": "qwen3_vl_text",
        "num_attention_heads": 4,
        "num_hidden_layers": 3,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_scaling": {"mrope_interleaved": True, "mrope_section": [2, 1, 1], "rope_type": "default"},
        "rope_theta": 5000000,
        "tie_word_embeddings": True,
        "use_cache": True,
        "vocab_size": VOCABULARY,
    },
    "tie_word_embeddings": True,
    "transformers_version": "4.57.0.dev0",
    "video_token_id": 0,
    "vision_config": {
        "deepstack_visual_indexes": [0, 1],
        "depth": 3,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": 32,
        "in_channels": 3,
        "initializer_range": 0.02,
        "intermediate_size": 48,
        "model_type": "qwen3_vl",
        "num_heads": 2,
        "num_position_embeddings": 25,
        "out_hidden_size": 32,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    },
    "vision_end_token_id": 3,
    "vision_start_token_id": 2,
}
NAMES = {
    "model.language_model.embed_tokens.weight",
    "model.language_model.layers.0.self_attn.q_norm.weight",
    "model.language_model.norm.weight",
    "model.visual.blocks.2.mlp.linear_fc1.bias",
    "model.visual.deepstack_merger_list.1.linear_fc2.weight",
    "model.visual.merger.norm.weight",
    "model.visual.patch_embed.proj.bias",
    "model.visual.pos_embed.weight",
}


@pytest.fixture(scope="module")
def hub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights by their published names, tied: no head of the vocabulary is among them."""
    folder = tmp_path_factory.mktemp("hub")
    torch.manual_seed(5)
    toy = toy_config("qwen3_vl")
    toy.tie_word_embeddings = True
    Qwen3VLForConditionalGeneration(toy).to(torch.bfloat16).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    names = load_file(folder / "model.safetensors").keys()
    assert names >= NAMES and all(name.startswith(("model.language_model.", "model.visual.")) for name in names)
    train_tokenizer(["What is it? A wren."], 300, str(folder))
    return folder


def test_a_folder_of_the_hub_gives_the_rewards_of_transformers(hub_folder: Path) -> None:
    model = RewardModel(load_backbone(str(hub_folder), dtype=torch.float32), HeadConfig()).eval()
    model.head.initialise(0)
    text = model.backbone.config.text_config
    assert text.rope_parameters["rope_theta"] == 5_000_000 and text.rope_parameters["mrope_section"] == [2, 1, 1]
    whole: Any = Qwen3VLForConditionalGeneration.from_pretrained(hub_folder, dtype=torch.float32).eval()
    theirs: Any = SimpleNamespace(
        backbone=whole.model, family=family_of("qwen3_vl"), head=model.head, head_config=model.head_config
    )
    with torch.inference_mode():
        plain = torch.cat([separate_rewards(theirs, item) for item in ITEMS])
        torch.testing.assert_close(model(collate(ITEMS, row_format=model.row_format)), plain, rtol=1e-5, atol=1e-5)


def prepared(folder: Path, tokenizer: str, encode: EncodeConfig) -> PreparedData:
    (folder / "pairs.jsonl").write_text('{"prompt": "What is it?", "chosen": "A wren.", "rejected": "It."}\n')
    config = PreprocessConfig(
        sources=[SourceConfig(name="pairs", path="pairs.jsonl")],
        data_root=str(folder),
        output=str(folder / encode.family),
        tokenizer=tokenizer,
        encode=encode,
        split=SplitConfig(heldout_fraction=0.0),
    )
    prepare(config)
    return PreparedData.open(config.output)


def test_data_for_another_family_are_refused_before_a_training(hub_folder: Path, tmp_path: Path) -> None:
    ours, others = (prepared(tmp_path, str(hub_folder), encode) for encode in (QWEN3, EncodeConfig()))
    check_base(str(hub_folder), ours)
    with pytest.raises(
        RecipeError, match=r"is a qwen3_vl, and the data .* for qwen2.5-vl: preprocess .*encode.family=qwen3-vl, and"
    ):
        check_base(str(hub_folder), others)
    backbone = config_of_shape("qwen3-vl-8b")
    assert workload_of_data(ours, backbone).source.endswith("1 Comparisons an epoch")
    assert "prepared for qwen2.5-vl, not for qwen3-vl" in workload_of_data(others, backbone).source


def test_a_backbone_that_reads_text_only_takes_any_data() -> None:
    for encode in (QWEN3, EncodeConfig()):
        check_family("qwen3", encode, names=("a", "b"), cure="")


def test_a_new_model_is_told_to_read_as_its_family(tmp_path: Path) -> None:
    config = InitModelConfig(output=str(tmp_path / "base"), shape="qwen3-vl-tiny", vocab_size=300)
    with pytest.raises(
        RecipeError, match=r"shape='qwen3-vl-tiny' is a qwen3_vl, .*: set preprocess.encode.family=qwen3"
    ):
        initialise_model(
            config, PreprocessConfig(), train_tokenizer=lambda folder: train_tokenizer(["A wren."], 300, folder)
        )


def test_an_imported_model_reads_as_its_family(hub_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "theirs"
    copy.mkdir()
    for file in hub_folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    save_file({"v_head.summary.weight": torch.ones(1, 32)}, copy / "value_head.safetensors")
    with pytest.raises(RecipeError, match="'ORG/NAME' is a qwen3_vl, and the recipe prepares pictures for qwen2.5-vl"):
        import_model(str(copy), str(tmp_path / "a"), dtype="as_saved", preprocess=PreprocessConfig(), source="ORG/NAME")
    reads = PreprocessConfig(encode=QWEN3)
    model = import_model(str(copy), str(tmp_path / "b"), dtype="float32", preprocess=reads, source="ORG/NAME").eval()
    assert model(collate(ITEMS, row_format=model.row_format)).shape == (9,)
