"""A model folder of ours as one of Transformers: the whole model under one index, the head as ``score``.

config.json              the backbone's, the head described in it, ``num_labels: 1``
model*.safetensors       ``model.*`` and ``score.*``
tokenizer, processor     the model's own; the chat template ends where the reward is read
reading.json             how records are read, for the way back
README.md                how each program loads it
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from data_pipeline.encoding.reading import READING_FILE, Reading
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import MissingInput, RecipeError
from data_pipeline.storage import write_atomic
from rm_core.interop.card import export_card
from rm_core.interop.classes import class_of
from rm_core.interop.vllm_plugin import ARCHITECTURES
from rm_core.model.backbone import DTYPES, read_config
from rm_core.model.config import HeadConfig
from rm_core.model.exported_config import exported_config
from rm_core.model.reward_model import RewardModel
from rm_core.model_folder.folder import PROCESSOR_FILES, lineage_of, load_reward_model, share_weights
from rm_core.model_folder.paradigm import paradigm_of
from rm_core.model_folder.processor_files import write_processor_files
from rm_core.model_folder.reading import reading_of
from rm_core.model_folder.weight_files import write_backbone

__all__ = ["EXPORT_DTYPES", "Exported", "export_model"]

EXPORT_DTYPES = ("as_saved", *DTYPES)
_PAD = "<|endoftext|>"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        architecture: the class that scores it, as in ``config.json``.
        own_class: it is one of ours, not of Transformers.
        head: as it was exported.
    """

    architecture: str
    own_class: bool
    head: HeadConfig


def export_model(folder: str, output: str, *, dtype: str = "as_saved") -> Exported:
    """Write the local folder `output`, which is not there yet, from the local model `folder`.

    Args:
        dtype: of the backbone's weights, one of `EXPORT_DTYPES`; the head stays float32.

    Raises:
        RecipeError: the head averages over an answer, whose beginning no other program knows; or it reads critiques,
            which other programs do not write.
        MissingInput, CorruptData: as `load_reward_model`; nothing says how the model reads records.
    """
    if (paradigm := paradigm_of(folder)) != "scalar":
        raise RecipeError(
            f"{folder!r} is a {paradigm} reward model, and other programs read scalar ones: export a model that was "
            "trained with train.paradigm=scalar"
        )
    saved = str(getattr(read_config(folder), "dtype", None) or "float32").removeprefix("torch.")
    model = load_reward_model(folder, dtype=DTYPES.get(saved if dtype == "as_saved" else dtype, torch.float32))
    reading = reading_of(folder)
    if reading is None:
        raise MissingInput(f"{folder!r} does not say how it reads records (an early version wrote it): export it again")
    head, weights = _head_of(model, folder)
    config = exported_config(model.backbone.config, head, pad_token=load_tokenizer(folder).special_ids[_PAD])
    scores = class_of(config)
    with torch.device("meta"):  # it gives names; its weights are those of `model`
        named = scores(config)
    os.makedirs(output)
    write_backbone(output, named, _named(model, weights))
    share_weights(output)
    _write_reading_files(folder, output, reading, images=model.family.has_vision)
    own = scores.__module__ == class_of.__module__
    done = Exported(scores.__name__, own, head)
    card = export_card(
        scores.__name__, head, reading, lineage_of(folder), own_class=own, images=model.family.has_vision,
        in_vllm=not own or scores.__name__ in ARCHITECTURES,
    )  # fmt: skip
    write_atomic(os.path.join(output, "README.md"), card.encode())
    return done


def _head_of(model: RewardModel, folder: str) -> tuple[HeadConfig, dict[str, Tensor]]:
    """The head that gives one number, by the names of `RewardHead`; of mean and variance it is the mean."""
    config = model.head_config
    if config.pooling != "last":
        raise RecipeError(
            f"{folder!r} reads the {config.pooling} over an answer's tokens (train.head.pooling), and no other "
            "program knows where an answer begins: only heads with pooling=last can be exported"
        )
    weights = dict(model.head.state_dict())
    if config.uncertainty:
        last = max(int(name.split(".")[1]) for name in weights)
        weights |= {name: value[:1] for name, value in weights.items() if name.startswith(f"layers.{last}.")}
    return replace(config, uncertainty=False, dropout=0.0, init_std=None), _numbered(weights)


def _numbered(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Layers as a head without dropout counts them: linear ones at 0, 2, 4, ..."""
    old = sorted({int(name.split(".")[1]) for name in weights})
    new = {number: 2 * place for place, number in enumerate(old)}
    return {
        f"layers.{new[int(number)]}.{what}": weights[f"layers.{number}.{what}"]
        for _, number, what in (name.split(".") for name in weights)
    }


def _named(model: RewardModel, head: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Names and weights as the exported class has them; the head first: the config's dtype is that of the last one."""
    linear = head.keys() == {"layers.0.weight"}
    for name, value in head.items():
        yield ("score.weight" if linear else f"score.{name}"), value.float()
    for name, value in model.backbone.state_dict().items():
        yield f"model.{name}", value


def _write_reading_files(folder: str, output: str, reading: Reading, *, images: bool) -> None:
    """Tokenizer and processor files that read a chat as the model was trained to."""
    for name in PROCESSOR_FILES:
        if os.path.isfile(source := os.path.join(folder, name)) and (images or name != "preprocessor_config.json"):
            shutil.copyfile(source, os.path.join(output, name))
    encode = reading.encode
    write_processor_files(output, encode, images=images, answer_end=encode.answer_end)
    write_atomic(os.path.join(output, READING_FILE), reading.to_bytes())
    path = os.path.join(output, "tokenizer_config.json")
    if os.path.isfile(path):
        with open(path, encoding="utf8") as file:
            said = json.load(file)
        said.pop("chat_template", None)  # the file beside it says it
        if not images:
            said.pop("processor_class", None)
        write_atomic(path, f"{json.dumps(said, indent=2, sort_keys=True)}\n".encode())
