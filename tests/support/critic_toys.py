"""A critic and a judge with random weights, as a training would have left them."""

from pathlib import Path

import torch

from data_pipeline.config import EncodeConfig, PreprocessConfig
from data_pipeline.encoding.reading import Reading
from data_pipeline.encoding.tokenizer import load_tokenizer
from rm_core.model.backbone import new_backbone
from rm_core.model.config import HeadConfig
from rm_core.model.language_head import LanguageHead
from rm_core.model.reward_model import RewardModel
from rm_core.model.shape_config import backbone_config
from rm_core.model_folder.folder import save_reward_model

ENCODE = EncodeConfig(critiques="given", critique_prompt="Judge it.")


QUESTION = "1 {first} 2 {second} Which?"


def write_critic(folder: Path, tokenizer: Path, shape: str = "nano", encode: EncodeConfig = ENCODE) -> str:
    """A complete folder, of a model that reads records by `encode` and the tokenizer of `tokenizer`."""
    return _write(folder, tokenizer, "critic", encode, shape=shape)


def write_judge(folder: Path, tokenizer: Path) -> str:
    """A complete folder, of a model that is asked `QUESTION` about two answers."""
    return _write(folder, tokenizer, "generative", EncodeConfig(), QUESTION)


def _write(
    folder: Path, tokenizer: Path, paradigm: str, encode: EncodeConfig, question: str = "", shape: str = "nano"
) -> str:
    known = load_tokenizer(str(tokenizer))
    config = backbone_config(shape, vocab_size=known.vocab_size, special_ids=dict(known.special_ids))
    config.tie_word_embeddings = True
    backbone = new_backbone(config, seed=0, dtype=torch.float32)
    language_head = LanguageHead(backbone.get_input_embeddings().weight)
    model = RewardModel(backbone, HeadConfig(), language_head, judges=paradigm == "generative")
    if not model.judges:
        model.head.initialise(0)
    save_reward_model(
        str(folder), backbone, model.head_config, model.named_parameters(), processor_from=str(tokenizer), lineage={},
        reading=Reading.of_config(PreprocessConfig(encode=encode), known.fingerprint), paradigm=paradigm,
        question=question,
    )  # fmt: skip
    return str(folder)
