"""What each engine cannot do is refused before anything starts, with the key, its value and the cure."""

from typing import Any

import pytest

from data_pipeline.errors import RecipeError
from rm_core.train_config.check import check_train_config
from rm_core.train_config.config import TrainConfig, ZeroConfig

FSDP: dict[str, Any] = {"engine": "fsdp"}


@pytest.mark.parametrize(
    ("zero", "more", "said"),
    [
        ({"stage": 0}, FSDP | {"precision": "fp32"}, r"engine=fsdp shards, .*stage=0 shards nothing: use 1 to 3"),
        ({"stage": 2, "offload_optimizer": True}, FSDP, r"offload_optimizer=true is read with train\.engine=deepspeed"),
        ({"stage": 3, "offload_parameters": True}, FSDP, r"offload_parameters=true is read with train\.engine=deepsp"),
        ({"stage": 1, "reduce": "row"}, FSDP, r"reduce=row leaves no rank a whole gradient.*set that, or"),
        ({"shard_size": 3}, FSDP | {"num_workers": 8}, r"shard_size=3 must divide train\.num_workers=8"),
        ({"shard_size": 1}, FSDP | {"num_workers": 8}, r"shard_size=1 must divide .*and be more than 1"),
        ({"shard_size": 2}, {"num_workers": 8}, r"shard_size=2 is read with train\.engine=fsdp only"),
        ({"stage": 2, "reduce": "step"}, {}, r"DeepSpeed sends gradients once a row at train\.zero\.stage=2"),
        ({"stage": 1, "reduce": "row"}, {}, r"DeepSpeed sends gradients once a step at train\.zero\.stage=1"),
        ({"stage": 2, "hpz_partition_size": 2}, {"num_workers": 8}, r"hpz_partition_size=2 is of weights .* not 2"),
        ({"stage": 3, "hpz_partition_size": 3}, {"num_workers": 8}, r"hpz_partition_size=3 must be a part of the 8"),
        ({"stage": 3, "hpz_partition_size": 8}, {"num_workers": 8}, r"hpz_partition_size=8 must be a part of the 8"),
        ({"stage": 3, "shard_size": 4, "hpz_partition_size": 4}, FSDP | {"num_workers": 8}, r"must be a part of the 4"),
        ({"reduce": "never"}, {}, r"train\.zero\.reduce"),
        ({}, {"engine": "ddp"}, r"train\.engine"),
    ],
)  # fmt: skip
def test_it_says_what_cannot_be(zero: dict[str, Any], more: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        check_train_config(TrainConfig(zero=ZeroConfig(**zero), **more))


@pytest.mark.parametrize(
    ("zero", "more"),
    [
        ({"stage": 1}, FSDP),
        ({"stage": 2, "reduce": "step"}, FSDP),
        ({"stage": 3, "reduce": "step", "shard_size": 4, "hpz_partition_size": 2}, FSDP | {"num_workers": 8}),
        ({"stage": 3, "hpz_partition_size": 4}, {"num_workers": 8}),
        ({"stage": 1, "reduce": "step"}, {}),
        ({"stage": 2, "reduce": "row"}, {}),
    ],
)
def test_it_takes_what_can_be(zero: dict[str, Any], more: dict[str, Any]) -> None:
    check_train_config(TrainConfig(zero=ZeroConfig(**zero), **more))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (TrainConfig(engine="fsdp", zero=ZeroConfig(shard_size=4)), r"min_workers=6 is no .*shard_size=4, of which"),
        (
            TrainConfig(zero=ZeroConfig(stage=3, hpz_partition_size=4)),
            r"min_workers=6 is no .*hpz_partition_size=4, of",
        ),
    ],
)
def test_the_smallest_group_is_of_whole_copies(config: TrainConfig, said: str) -> None:
    config.num_workers, config.group.min_workers = 8, 6
    with pytest.raises(RecipeError, match=said):
        check_train_config(config)
    config.group.min_workers = 4
    check_train_config(config)


@pytest.mark.parametrize(("stage", "once"), [(0, True), (1, True), (2, False), (3, False)])
def test_auto_sends_gradients_as_deepspeed_does(stage: int, once: bool) -> None:
    assert ZeroConfig(stage=stage).reduces_once == once
