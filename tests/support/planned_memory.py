"""A small training whose bytes on real ranks stand beside the planner's, in every way in which it can be sharded."""

import gc
from typing import Any

from sharding import How, sharded_by

from rm_core.planner.architecture import architecture_of, config_of_shape
from rm_core.planner.kept import States
from rm_core.planner.setting import Setting
from rm_core.planner.states import states_of
from rm_core.train_config.config import TrainConfig

__all__ = ["Case", "live_storages", "new_model", "predicted", "train_config"]

VOCABULARY = 4096
Case = tuple[How, str, str]
"""How it is sharded, in which precision, and what beside that: an offload, or a part of `MORE`."""
MORE: dict[str, dict[str, Any]] = {
    "": {},
    "frozen": {},
    "optimizer": {"offload_optimizer": True},
    "both": {"offload_optimizer": True, "offload_parameters": True},
    "second": {"hpz_partition_size": 2},
}


def backbone() -> Any:
    """The tiny size with more embeddings and wider layers, and the token ids of the toys."""
    config = config_of_shape("tiny")
    config.text_config.vocab_size, config.text_config.intermediate_size = VOCABULARY, 1024
    config.image_token_id, config.video_token_id = 1, 0
    config.vision_start_token_id, config.vision_end_token_id = 2, 3
    return config


def train_config(case: Case, ranks: int = 2) -> TrainConfig:
    how, precision, more = case
    config = TrainConfig(precision=precision, num_workers=ranks, attention="sdpa", **sharded_by(how, **MORE[more]))
    if more == "frozen":
        config.weights.vision.train = config.weights.embeddings.train = "frozen"
    return config


def live_storages() -> dict[int, Any]:
    """Storages of all tensors that are alive, by address; gradients that only autograd holds are among them."""
    import torch

    gc.collect()
    found = [value for value in gc.get_objects() if type(value) in (torch.Tensor, torch.nn.Parameter)]
    found += [value.grad for value in found if value.is_leaf and value.grad is not None]
    return {value.untyped_storage().data_ptr(): value.untyped_storage() for value in found}


def new_model(case: Case) -> Any:
    from rm_core.model.backbone import DTYPES, new_backbone
    from rm_core.model.config import HeadConfig
    from rm_core.model.reward_model import RewardModel
    from rm_core.train_config.parameter_groups import freeze

    dtype = DTYPES[{"fp32": "float32", "bf16": "bfloat16"}[case[1]]]
    model = RewardModel(new_backbone(backbone(), seed=0, dtype=dtype), HeadConfig())
    model.head.initialise(0)
    freeze(model, train_config(case), model.family.model_type)
    return model


def predicted(case: Case, ranks: int = 2) -> States:
    config = train_config(case, ranks)
    return states_of(architecture_of(backbone(), config), Setting.of(config))
