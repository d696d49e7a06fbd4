"""A reward model of another program as one of ours: the same backbone and head, with how it reads records.

    folder of a hub --given_heads--> head       \\
                    --backbone-----> weights     > folder of ours: scored, evaluated, trained on, joined to ensembles
    recipe --------------------------> reading  /

An adapter that the recipe names is added to the weights first, and a head that was trained with it is the head.

Only the recipe can say how the model was trained to read: the system prompt, pixel limits, and where an answer ends
(`EncodeConfig.answer_end`; Transformers' chat templates end with a line break, and their last token was read).
"""

import os

import torch

from data_pipeline.config import PreprocessConfig
from data_pipeline.encoding.reading import Reading
from data_pipeline.encoding.tokenizer import tokenizer_fingerprint
from data_pipeline.errors import MissingInput, RecipeError
from data_pipeline.storage import name_of
from rm_core.model.backbone import DTYPES, load_backbone, read_config
from rm_core.model.reward_model import RewardModel
from rm_core.model_folder.adapters import add_adapter, read_adapter
from rm_core.model_folder.folder import save_reward_model
from rm_core.model_folder.given_heads import given_head, head_of_tensors
from rm_core.model_folder.reading import check_family, check_tiles, reading_of

__all__ = ["import_model"]


def import_model(
    folder: str, output: str, *, dtype: str, preprocess: PreprocessConfig, source: str, adapter: str | None = None
) -> RewardModel:
    """Write the local folder `output` from the local `folder`; returns the model.

    Args:
        preprocess: how records are read, where the folder does not say it itself, as our own exports do.
        source: what the lineage calls `folder`.
        adapter: the local folder of a PEFT adapter.

    Raises:
        MissingInput: no head, backbone or tokenizer there.
        RecipeError, CorruptData: as `given_head`, `read_adapter`, `add_adapter` and `load_backbone`; the head does not
            fit the backbone; the recipe prepares pictures for another family.
    """
    added = None if adapter is None else read_adapter(adapter)
    head = head_of_tensors(added.head, added.folder) if added is not None and added.head else given_head(folder)
    if head is None:
        raise MissingInput(f"{folder!r} holds no reward head: to train one on it, name the folder as train.model")
    settings = read_config(folder)
    cure = "set {settings} in the recipe"
    check_family(settings.model_type, preprocess.encode, names=(f"{source!r}", "the recipe"), cure=cure)
    check_tiles(settings, repr(source))
    saved = str(getattr(settings, "dtype", None) or "float32").removeprefix("torch.")
    kept = DTYPES.get(saved if dtype == "as_saved" else dtype, torch.float32)
    backbone = load_backbone(folder, dtype=kept, with_head=True)
    if added is not None:
        add_adapter(backbone, added)
    model = RewardModel(backbone, head.config)
    own = {name: tuple(tensor.shape) for name, tensor in model.head.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in head.weights.items()}
    if own != given:
        raise RecipeError(f"{folder!r}: its head {given} does not fit the backbone, which needs {own}")
    model.head.load_state_dict(head.weights)
    os.makedirs(output, exist_ok=True)
    save_reward_model(
        output,
        model.backbone,
        head.config,
        model.state_dict().items(),
        processor_from=folder,
        lineage={"imported_from": source} | ({} if adapter is None else {"adapter": name_of(adapter)}),
        reading=reading_of(folder) or Reading.of_config(preprocess, tokenizer_fingerprint(folder)),
    )
    return model
