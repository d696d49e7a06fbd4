"""Write a random-weight backbone folder: weights, tokenizer, processor. For tests, demos and scaling studies."""

import json
import os
import shutil
from collections.abc import Callable

from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from data_pipeline import storage
from data_pipeline.bounds import check_bounds
from data_pipeline.config import EncodeConfig
from data_pipeline.encoding.template import chat_template
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import MissingInput
from rm_core.model.backbone import DTYPES, new_backbone
from rm_core.model.config import InitModelConfig
from rm_core.model.shape_config import backbone_config
from rm_core.model_folder.folder import PROCESSOR_FILES, finish_folder

__all__ = ["initialise_model", "write_processor_files"]


def initialise_model(config: InitModelConfig, encode: EncodeConfig, *, train_tokenizer: Callable[[str], None]) -> int:
    """Write the folder `config.output`; returns the number of parameters.

    Args:
        encode: image sizes and system prompt, for the processor's files.
        train_tokenizer: writes a new tokenizer into a folder; called where `config.tokenizer` is unset.

    Raises:
        RecipeError: a value out of bounds, an unknown shape, or a vocabulary too small for the tokenizer.
        MissingInput: `config.tokenizer` holds no ``tokenizer.json``.
    """
    check_bounds(config, "init_model")
    os.makedirs(config.output, exist_ok=True)
    if config.tokenizer is None:
        train_tokenizer(config.output)
    else:
        _copy_tokenizer(config.tokenizer, config.output)
    tokenizer = load_tokenizer(config.output)
    write_processor_files(config.output, encode)
    backbone = new_backbone(
        backbone_config(config.shape, vocab_size=tokenizer.vocab_size, special_ids=dict(tokenizer.special_ids)),
        seed=config.seed,
        dtype=DTYPES[config.dtype],
    )
    backbone.save_pretrained(config.output)
    finish_folder(config.output, {"shape": config.shape, "seed": config.seed, "tokenizer": tokenizer.fingerprint})
    return sum(parameter.numel() for parameter in backbone.parameters())


def write_processor_files(folder: str, encode: EncodeConfig) -> None:
    """Write what else Transformers reads, so that it resizes and formats as we do.

    ``preprocessor_config.json`` has the pixel limits of `encode`, ``chat_template.jinja`` its system prompt. There is
    no file for videos: Transformers' video processor needs torchvision.
    """
    # The variant that needs no torchvision; the file names the class of both.
    images = Qwen2VLImageProcessorPil(min_pixels=encode.min_pixels, max_pixels=encode.max_pixels)
    images.save_pretrained(folder)
    # Written beside `size`, as the published folders have them: other programs read the limits under these names.
    path = os.path.join(folder, "preprocessor_config.json")
    with open(path, encoding="utf8") as file:
        written = json.load(file)
    more = {"min_pixels": encode.min_pixels, "max_pixels": encode.max_pixels, "processor_class": "Qwen2_5_VLProcessor"}
    storage.write_atomic(path, f"{json.dumps(written | more, indent=2, sort_keys=True)}\n".encode())
    storage.write_atomic(storage.join(folder, "chat_template.jinja"), chat_template(encode.system_prompt).encode())


def _copy_tokenizer(source: str, target: str) -> None:
    if not os.path.isfile(os.path.join(source, "tokenizer.json")):
        raise MissingInput(f"init_model.tokenizer={source!r} holds no tokenizer.json")
    for name in PROCESSOR_FILES:
        if os.path.isfile(path := os.path.join(source, name)):
            shutil.copyfile(path, os.path.join(target, name))
