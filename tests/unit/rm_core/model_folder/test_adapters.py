"""Adapters as PEFT saves them beside nothing else: the rewards of PEFT's own model, or refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model
from safetensors.torch import load_file, save_file
from separate_rows import separate_rewards
from toys import toy_comparison, toy_config
from transformers import (
    Qwen2_5_VLForConditionalGeneration,
    Qwen2ForSequenceClassification,
    Qwen3ForSequenceClassification,
)

from data_pipeline.config import PreprocessConfig
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import CorruptData, RecipeError
from rm_core.model.backbone import load_backbone
from rm_core.model_folder.adapters import add_adapter, read_adapter
from rm_core.model_folder.folder import load_reward_model, verify_folder
from rm_core.model_folder.import_model import import_model

ITEM = toy_comparison(3, ranks=(0, 1, 2))
TEXT = {"qwen2": Qwen2ForSequenceClassification, "qwen3": Qwen3ForSequenceClassification}


def adapted(folder: Path, model: Any, **changes: Any) -> Any:
    """PEFT's model with adapters that do something, saved into `folder`."""
    config = LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"]} | changes)
    found = get_peft_model(model, config)
    generator = torch.Generator().manual_seed(1)
    for name, value in found.named_parameters():
        if "lora_B" in name or "modules_to_save" in name:
            value.data = 0.1 * torch.randn(value.shape, generator=generator)
    found.save_pretrained(folder)
    return found.eval()


def base(folder: Path, model_type: str, model_class: Any) -> Any:
    """A model of Transformers with the toys' sizes, its backbone saved without a head."""
    config = toy_config(model_type)
    config.num_labels, config.pad_token_id = 1, 0
    torch.manual_seed(0)
    model = model_class(config).eval()
    model.model.save_pretrained(folder)
    train_tokenizer(["Which?"], 300, str(folder))
    return model


@pytest.mark.parametrize("model_type", TEXT)
@pytest.mark.parametrize("rslora", [False, True])
def test_an_adapter_with_its_head_gives_the_rewards_of_peft(model_type: str, rslora: bool, tmp_path: Path) -> None:
    """As TRL trains a reward model: the head is saved with the adapter."""
    model = base(tmp_path / "base", model_type, TEXT[model_type])
    peft = adapted(tmp_path / "adapter", model, task_type=TaskType.SEQ_CLS, use_rslora=rslora)
    import_model(
        str(tmp_path / "base"), str(tmp_path / "ours"), dtype="as_saved", preprocess=PreprocessConfig(), source="B",
        adapter=str(tmp_path / "adapter"),
    )  # fmt: skip
    assert verify_folder(str(tmp_path / "ours")) == {"imported_from": "B", "adapter": "adapter"}
    rows = [torch.from_numpy(ITEM.prefix_ids), *map(torch.from_numpy, ITEM.response_ids)]
    with torch.inference_mode():
        ours = separate_rewards(load_reward_model(str(tmp_path / "ours")), ITEM)
        ids = [torch.cat([rows[0], row]).long()[None] for row in rows[1:]]
        theirs = torch.cat([peft(input_ids=one).logits[0] for one in ids])
        plain = torch.cat([model.model(input_ids=one).last_hidden_state[0, -1:] for one in ids])
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert plain.isfinite().all()


def test_an_adapter_of_a_whole_language_model_finds_its_layers(tmp_path: Path) -> None:
    config = toy_config()
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(config).eval()
    model.save_pretrained(tmp_path / "base")
    before = {name: value.clone() for name, value in model.model.named_parameters()}
    peft = adapted(tmp_path / "adapter", model, target_modules=["q_proj", "qkv"])
    backbone = load_backbone(str(tmp_path / "base"), dtype=torch.float32)
    add_adapter(backbone, read_adapter(str(tmp_path / "adapter")))
    merged = dict(peft.merge_and_unload().model.named_parameters())
    moved = 0
    for name, value in backbone.named_parameters():
        torch.testing.assert_close(value, merged[name], rtol=1e-5, atol=1e-6)
        moved += not torch.equal(value, before[name])
    assert moved == len(read_adapter(str(tmp_path / "adapter")).pairs) > 0


def test_what_is_not_computed_or_belongs_nowhere_is_refused(tmp_path: Path) -> None:
    model = base(tmp_path / "base", "qwen2", Qwen2ForSequenceClassification)
    adapted(tmp_path / "adapter", model, task_type=TaskType.SEQ_CLS)
    settings, weights = tmp_path / "adapter" / "adapter_config.json", tmp_path / "adapter" / "adapter_model.safetensors"
    said, tensors = json.loads(settings.read_text()), load_file(weights)
    for change, words in (
        ({"use_dora": True}, "sets use_dora, which is not computed here"),
        ({"alpha_pattern": {"q_proj": 4}}, "sets alpha_pattern"),
        ({"peft_type": "IA3"}, "an adapter of type 'IA3': only LoRA"),
    ):
        settings.write_text(json.dumps(said | change))
        with pytest.raises(RecipeError, match=words):
            read_adapter(str(tmp_path / "adapter"))
    settings.write_text(json.dumps(said))
    first = next(name for name in tensors if name.endswith("lora_A.weight"))
    save_file({name.replace("q_proj", "other_proj"): value for name, value in tensors.items()}, weights)
    with pytest.raises(RecipeError, match=r"other_proj.weight', which is no weight of the backbone"):
        add_adapter(load_backbone(str(tmp_path / "base"), dtype=torch.float32), read_adapter(str(tmp_path / "adapter")))
    save_file({name: value for name, value in tensors.items() if name != first}, weights)
    with pytest.raises(CorruptData, match="each layer of an adapter has two parts"):
        read_adapter(str(tmp_path / "adapter"))
    weights.write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    with pytest.raises(CorruptData, match="is damaged"):
        read_adapter(str(tmp_path / "adapter"))
