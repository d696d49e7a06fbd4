"""Write a random-weight backbone folder: weights, tokenizer, processor. For tests, demos and scaling studies."""

import os
import shutil
from collections.abc import Callable

from data_pipeline.bounds import check_bounds
from data_pipeline.config import PreprocessConfig
from data_pipeline.encoding.reading import Reading
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import MissingInput
from rm_core.model.backbone import DTYPES, new_backbone
from rm_core.model.config import InitModelConfig
from rm_core.model.shape_config import backbone_config
from rm_core.model_folder.folder import PROCESSOR_FILES, finish_folder
from rm_core.model_folder.reading import check_family, write_reading

__all__ = ["initialise_model"]


def initialise_model(
    config: InitModelConfig, preprocess: PreprocessConfig, *, train_tokenizer: Callable[[str], None]
) -> int:
    """Write the folder `config.output`; returns the number of parameters.

    Args:
        preprocess: how records are read: image sizes, system prompt and limits.
        train_tokenizer: writes a new tokenizer into a folder; called where `config.tokenizer` is unset.

    Raises:
        RecipeError: a value out of bounds, an unknown shape, a vocabulary too small for the tokenizer, or pictures that
            the recipe prepares for another family of backbones.
        MissingInput: `config.tokenizer` holds no ``tokenizer.json``.
    """
    check_bounds(config, "init_model")
    os.makedirs(config.output, exist_ok=True)
    if config.tokenizer is None:
        train_tokenizer(config.output)
    else:
        _copy_tokenizer(config.tokenizer, config.output)
    tokenizer = load_tokenizer(config.output)
    settings = backbone_config(config.shape, vocab_size=tokenizer.vocab_size, special_ids=dict(tokenizer.special_ids))
    settings.tie_word_embeddings = config.language_head
    names = (f"init_model.shape={config.shape!r}", "the recipe")
    check_family(settings.model_type, preprocess.encode, names=names, cure="set {settings}, or choose another shape")
    write_reading(config.output, Reading.of_config(preprocess, tokenizer.fingerprint), images=True)
    backbone = new_backbone(settings, seed=config.seed, dtype=DTYPES[config.dtype])
    backbone.save_pretrained(config.output)
    finish_folder(config.output, {"shape": config.shape, "seed": config.seed, "tokenizer": tokenizer.fingerprint})
    return sum(parameter.numel() for parameter in backbone.parameters())


def _copy_tokenizer(source: str, target: str) -> None:
    if os.path.isfile(source):
        folder = os.path.dirname(source) or "."
        raise MissingInput(f"init_model.tokenizer={source!r} is a file: name the folder that holds it, {folder!r}")
    if not os.path.isfile(os.path.join(source, "tokenizer.json")):
        raise MissingInput(f"init_model.tokenizer={source!r} holds no tokenizer.json: name a folder that does")
    for name in PROCESSOR_FILES:
        if os.path.isfile(path := os.path.join(source, name)):
            shutil.copyfile(path, os.path.join(target, name))
