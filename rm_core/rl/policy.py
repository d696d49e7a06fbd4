"""The language model that learns, with its processor, as Transformers and TRL take them; and as a finished folder."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
    Qwen2_5_VLProcessor,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from data_pipeline.errors import MissingInput, RecipeError
from rm_core.model_folder.folder import PROCESSOR_FILES, finish_folder, model_type_of, sees_images
from rm_core.model_folder.paradigm import PARADIGM_FILE

__all__ = [
    "Processor",
    "as_language_model",
    "load_policy",
    "load_processor",
    "never_written",
    "tokenizer_of",
    "write_policy",
]

Processor = PreTrainedTokenizerBase | ProcessorMixin
_OF_QWEN_VL = ("qwen2_5_vl", "qwen2_vl")
_OF_A_JUDGE = (PARADIGM_FILE, "reading.json", "reward_head.json", "reward_head.safetensors")
"""What a judge has beside its weights; its head has none, and how it reads and is asked does not change."""
_OF_A_MODEL = ("config.json", "generation_config.json", "model*.safetensors", "model.safetensors.index.json")


def load_policy(folder: str, precision: str, *, resumed: str | None = None) -> PreTrainedModel:
    """The whole language model of a local folder, in float32 or bfloat16.

    Transformers' Trainer does not go on from all of a checkpoint: it writes weights by the names of published files,
    reads them by those of the module, and leaves the others as they were, such as a vision tower.

    Args:
        resumed: a checkpoint of its training, whose weights it has; it still says that it comes from `folder`, of which
            TRL makes the frozen copy.

    Raises:
        MissingInput: the folder has no weights, or lacks some, as one with a backbone alone: Transformers would make
            them up.
    """
    kind: Any = AutoModelForImageTextToText if sees_images(folder) else AutoModelForCausalLM
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    try:
        model, found = kind.from_pretrained(
            resumed or folder, dtype=dtype, output_loading_info=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise MissingInput(f"rl.policy={folder!r} is no language model: {error}") from error
    if missing := sorted(found["missing_keys"]):
        raise MissingInput(
            f"rl.policy={folder!r} lacks the weights {', '.join(missing[:3])}: a policy writes, so take a whole "
            "language model, or make one by `basereward init-model` with init_model.language_head=true"
        )
    assert isinstance(model, PreTrainedModel)
    model.config.name_or_path = model.name_or_path = folder
    return model


def as_language_model(folder: str, scratch: str) -> str:
    """A local folder that says of its weights that they are a language model: `folder`, or links to its files.

    TRL makes the frozen copy of a policy as what ``architectures`` in config.json names, and a folder of ours names the
    backbone there, whose class drops the language head.

    Args:
        scratch: a folder of this process, for the links.
    """
    with open(os.path.join(folder, "config.json"), encoding="utf8") as file:
        config = json.load(file)
    kinds: Any = (
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES if sees_images(folder) else MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    )
    wanted = kinds[config["model_type"]]
    if config.get("architectures") == [wanted]:
        return folder
    target = os.path.join(scratch, "policy")
    os.makedirs(target)
    for name in os.listdir(folder):
        if name != "config.json":
            os.symlink(os.path.abspath(os.path.join(folder, name)), os.path.join(target, name))
    with open(os.path.join(target, "config.json"), "w", encoding="utf8") as file:
        json.dump(config | {"architectures": [wanted]}, file)
    return target


def load_processor(folder: str) -> Processor:
    """Tokenizer and image processor of a local folder; prompts are filled up on the left.

    Of Qwen2.5-VL the image processor without torchvision: it makes the pixels that the reward model sees.

    Raises:
        RecipeError: the family's processor needs torchvision, which is not installed.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", trust_remote_code=False)
    if not sees_images(folder):
        return tokenizer
    if (model_type := model_type_of(folder)) in _OF_QWEN_VL:
        return _QwenVLProcessor(Qwen2VLImageProcessorPil.from_pretrained(folder, trust_remote_code=False), tokenizer)
    try:
        found: Any = AutoProcessor.from_pretrained(folder, padding_side="left", trust_remote_code=False)
    except ImportError as error:
        raise RecipeError(
            f"rl.policy={folder!r} is a {model_type}, whose processor needs torchvision: install it"
        ) from error
    found.__class__ = type(type(found).__name__, (_AnyImages, type(found)), {})
    assert isinstance(found, ProcessorMixin)
    return found


def tokenizer_of(processor: Processor) -> PreTrainedTokenizerBase:
    """The tokenizer, alone or in a processor."""
    found = processor if isinstance(processor, PreTrainedTokenizerBase) else processor.tokenizer
    assert isinstance(found, PreTrainedTokenizerBase)
    return found


class _AnyImages:
    """Before a processor: prompts with pictures and without in one batch, which TRL gives a list each or None.

    Processors want a list each, or one flat list; the places in the texts say whose each picture is.
    """

    def __call__(self, images: Any = None, text: Any = None, **more: Any) -> Any:
        if isinstance(images, list | tuple):
            images = [one for own in images for one in (own if isinstance(own, list | tuple) else [own])]
            images = [one for one in images if one is not None] or None
        return super().__call__(images=images, text=text, **more)  # type: ignore[misc]  # of the class behind it


class _QwenVLProcessor(_AnyImages, Qwen2_5_VLProcessor):
    """Without a video processor, which needs torchvision."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None) -> None:
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"  # tokens of text
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(
            self, image_processor, tokenizer, chat_template=chat_template or tokenizer.chat_template
        )


def never_written(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Tokens that an answer may not hold: places of pictures, marks of turns, and those that no text has."""
    vocabulary = int(model.get_input_embeddings().num_embeddings)  # type: ignore[arg-type]  # a table of embeddings
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return sorted((special | set(range(len(tokenizer), vocabulary))) - {tokenizer.eos_token_id})


def write_policy(folder: str, weights_from: str, *, processor_from: str, lineage: Mapping[str, Any]) -> None:
    """Write a finished policy: the weights of a local checkpoint, and what else Transformers reads.

    Args:
        weights_from: a folder that Transformers' Trainer wrote.
        processor_from: the folder of the policy that training started from.
    """
    os.makedirs(folder)
    for weights in sorted(found for pattern in _OF_A_MODEL for found in Path(weights_from).glob(pattern)):
        shutil.copyfile(weights, os.path.join(folder, weights.name))
    for name in (*PROCESSOR_FILES, *_OF_A_JUDGE):
        if os.path.isfile(path := os.path.join(processor_from, name)):
            shutil.copyfile(path, os.path.join(folder, name))
    finish_folder(folder, lineage)
