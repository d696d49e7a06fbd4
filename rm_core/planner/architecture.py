"""A backbone's config and what of it trains -> every parameter's size: a model on the meta device, without memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from data_pipeline.errors import RecipeError
from rm_core.model.backbone import new_backbone
from rm_core.model.config import GROUPS, WRITERS
from rm_core.model.families import family_of, group_of
from rm_core.model.flops import Flops
from rm_core.model.language_head import LanguageHead
from rm_core.model.lora import add_adapters
from rm_core.model.reward_model import RewardModel
from rm_core.model.shape_config import backbone_config
from rm_core.model.shapes import SHAPES
from rm_core.model.tower_sizes import TowerSizes
from rm_core.model_folder.remote import backbone_settings
from rm_core.planner.units import Units, units_of
from rm_core.train_config.config import TrainConfig
from rm_core.train_config.parameter_groups import adapted_groups, freeze, parameter_groups

__all__ = ["Architecture", "architecture_of", "config_of_shape", "config_of_train"]

_SPECIAL = ("<|endoftext|>", "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<IMG_CONTEXT>")


@dataclass(frozen=True)
class Architecture:
    """Sizes of a reward model, and which of its weights train.

    Attributes:
        groups: numel of the trained parameters of each group of the optimiser, in order: what DeepSpeed lays flat.
        frozen: numel of the parameters that stand still.
        by_part: weights of vision, merger, language, embeddings and head, trained or not.
        flops: of a forward pass.
        text: the decoder's Transformers config.
        tower: the vision tower's sizes; None where it reads text only.
        trained_parts: those of which anything trains.
        units: the same weights by what FSDP gathers at once.
        vocabulary: tokens of the language head; 0: it has none, as it writes nothing.
    """

    groups: tuple[tuple[int, ...], ...]
    frozen: tuple[int, ...]
    by_part: dict[str, int]
    flops: Flops
    text: Any
    tower: TowerSizes | None
    trained_parts: frozenset[str]
    units: Units
    vocabulary: int = 0

    @property
    def trained_numel(self) -> int:
        return sum(map(sum, self.groups))

    @property
    def numel(self) -> int:
        return self.trained_numel + sum(self.frozen)

    @property
    def again_numel(self) -> int:
        """Of what FSDP gathers once more for a backward pass at stage 3."""
        return self.units.again_numel

    @property
    def largest_numel(self) -> int:
        """Of the largest parameter: of these models the table of embeddings."""
        return max(*map(max, self.groups), max(self.frozen, default=0))


def architecture_of(backbone: Any, config: TrainConfig) -> Architecture:
    """Sizes of the model that `config` trains on a backbone with the Transformers config `backbone`.

    The 7B model in millions: vision 632, merger 45, language 6,526, embeddings 545, head 13; together 7,760.

    Raises:
        RecipeError: of a family that is not known, or adapters that cannot be.
    """
    family = family_of(backbone.model_type)
    meta = torch.device("meta")
    with meta:
        made = new_backbone(backbone, seed=0, dtype=torch.float32, device=meta)
        writes, judges = config.paradigm in WRITERS, config.paradigm == "generative"
        model = RewardModel(made, config.head, _language_head(made) if writes else None, judges=judges)
    add_adapters(model, adapted_groups(config), config.lora, config.seed)
    freeze(model, config, family.model_type)
    named = list(model.named_parameters())
    parts = dict.fromkeys(GROUPS, 0)
    for name, value in named:
        parts[group_of(name, family.model_type)] += value.numel()
    groups = parameter_groups(model, config, family.model_type)
    trained = frozenset(group["name"] for group in groups)
    return Architecture(
        groups=tuple(_sizes(group["params"]) for group in groups),
        frozen=_sizes([value for _, value in named if not value.requires_grad]),
        by_part=parts,
        flops=Flops.of(backbone),
        text=family.text_config(backbone),
        tower=TowerSizes.of(backbone) if family.has_vision else None,
        trained_parts=trained,
        units=units_of(model, decoder_runs_backward=trained != {"head"}),
        vocabulary=0 if model.lm_head is None else len(model.lm_head.weight),
    )


def _language_head(backbone: PreTrainedModel) -> LanguageHead:
    """The table of token embeddings, or a weight of its size."""
    table: Any = backbone.get_input_embeddings().weight
    tied = getattr(backbone.config, "tie_word_embeddings", False)
    return LanguageHead(table if tied else nn.Parameter(torch.empty_like(table)))


def _sizes(parameters: Sequence[torch.Tensor]) -> tuple[int, ...]:
    return tuple(value.numel() for value in parameters)


def config_of_shape(name: str) -> Any:
    """The Transformers config of a size by name, such as ``7b``; tiny ones get a vocabulary of 1,024.

    Raises:
        RecipeError: unknown name.
    """
    if name not in SHAPES:
        raise RecipeError(f"plan.shape={name!r} is not a known size; choose one of {', '.join(SHAPES)}")
    ids = {token: place for place, token in enumerate(_SPECIAL)}
    return backbone_config(name, vocab_size=1024, special_ids=ids)


def config_of_train(config: TrainConfig) -> Any:
    """The Transformers config of the folder `config.model`; its weights are not read.

    Raises:
        MissingInput: no such folder.
    """
    cure = "set plan.shape, for example plan.shape=7b, to plan without the weights"
    return backbone_settings(config.model, cure)
