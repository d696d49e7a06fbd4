"""A whole training on two ranks, from prepared data to the exported folder: adapters, stages, audits, resumption."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from distributed_ranks import run_ranks
from prepared_toys import mixed_toy, write_toy
from safetensors.torch import load_file
from torch import Tensor, nn

from data_pipeline.config import PreprocessConfig
from data_pipeline.errors import RunError
from rm_core.batches.packed import with_indices
from rm_core.checkpoints import CheckpointStore
from rm_core.model.config import InitModelConfig, LoraConfig
from rm_core.model.families import group_of
from rm_core.model_folder.fixture import FIXTURE, read_fixture
from rm_core.model_folder.folder import is_complete, load_reward_model, verify_folder
from rm_core.model_folder.initialise import initialise_model
from rm_core.train_config.config import OptimizerConfig, TrainConfig, ZeroConfig
from rm_core.train_config.weights import GroupConfig, StageConfig, WeightsConfig
from rm_core.training import export, worker
from rm_core.training.engines.zero import ZeroEngine
from rm_core.training.trainer import Hooks, StopTraining

FROZEN, LORA, FULL = (GroupConfig(train=mode) for mode in ("frozen", "lora", "full"))
STAGES = [
    StageConfig(only="images", steps=2, held=["merger"]),
    StageConfig(only="text", steps=1, rate=0.5, held=["vision", "merger"]),
]


def config_of(folder: Path, **changes: Any) -> TrainConfig:
    optimizer = OptimizerConfig(learning_rate=1e-2, warmup_ratio=0.0)
    base: dict[str, Any] = {"global_batch": 4, "max_steps": 2, "token_budget": 1500, "stall_timeout_s": 300.0}
    base |= {"precision": "fp32", "optimizer": optimizer, "checkpoint_every": 1, "log_every": 1}
    return TrainConfig(**base | {"model": str(folder / "model"), "data": str(folder / "shards")} | changes)


def staged(folder: Path) -> TrainConfig:
    """Adapters in tower and decoder, images first with the merger held, then text; ZeRO-3 in bf16."""
    return config_of(
        folder, precision="bf16", zero=ZeroConfig(stage=3), stages=STAGES, max_steps=None,
        weights=WeightsConfig(vision=LORA, merger=FULL, language=LORA, embeddings=FROZEN),
        lora=LoraConfig(rank=4, alpha=8.0),
    )  # fmt: skip


def train(config: TrainConfig, folder: Path, *, stop: bool = False) -> dict[str, Any]:
    """What rank 0 logged, or the error that this rank raised; checkpoints and the export lie in `folder`.

    Args:
        stop: whether this rank is told to end the training.
    """
    points: list[dict[str, float]] = []

    def log(_step: int, metrics: Mapping[str, float]) -> None:
        points.append(dict(metrics))

    hooks = Hooks(begin=lambda steps: None, log=log, before_save=lambda: None, stop=lambda: stop, note=print)
    config = replace(config, output=str(folder), cache_dir=str(folder / "cache"))
    try:
        worker.train_rank(config, hooks, export_to=str(folder / "export"), lineage={"recipe": "toy"})
    except (RunError, StopTraining) as error:
        return {"error": str(error)}
    return {"points": points}


class Detached(nn.Module):
    """A layer outside the loss, as by a `detach` in the wrong place."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, hidden: Tensor) -> Tensor:
        result: Tensor = hidden + (self.layer(hidden) - hidden).detach()
        return result


def train_detached(folder: Path) -> dict[str, Any]:
    build = worker.build_model

    def broken(config: TrainConfig) -> Any:
        model = build(config)
        layer: Any = model.family.decoder(model.backbone).layers[0]
        layer.mlp = Detached(layer.mlp)
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "build_model", broken)
        return train(config_of(folder), folder / "detached")


def train_and_lose(folder: Path) -> dict[str, Any]:
    """A weight is lost where those of all ranks are gathered: what arrives is the size of it, and zeros."""
    weights = ZeroEngine.weights

    def losing(engine: ZeroEngine) -> Iterator[tuple[str, Tensor]]:
        for name, value in weights(engine):
            yield name, torch.zeros_like(value) if name.endswith("layers.0.mlp.down_proj.weight") else value

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ZeroEngine, "weights", losing)
        return train(config_of(folder), folder / "lost")


def train_all(path: str) -> dict[str, dict[str, Any]]:
    folder = Path(path)
    found = {"staged": train(staged(folder), folder / "staged")}
    # Between two checkpoints that are due, and one rank alone is told.
    rare = replace(staged(folder), checkpoint_every=100)
    found["stopped"] = train(rare, folder / "resumed", stop=dist.get_rank() == 1)
    with pytest.MonkeyPatch.context() as patch:
        # The whole training has been through it.
        patch.setattr(export, "audit_export", lambda folder, report: "")
        found["resumed"] = train(staged(folder), folder / "resumed")
    found["under fsdp"] = train(replace(staged(folder), engine="fsdp"), folder / "under-fsdp")
    return found | {"detached": train_detached(folder), "lost": train_and_lose(folder)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("training")
    write_toy(path / "shards", mixed_toy(30))
    model = InitModelConfig(output=str(path / "model"), tokenizer=str(path / "toy-model"))
    initialise_model(model, PreprocessConfig(), train_tokenizer=lambda folder: None)
    return path


@pytest.fixture(scope="module")
def ranks(folder: Path) -> list[dict[str, dict[str, Any]]]:
    return run_ranks(train_all, 2, folder / "results", str(folder))


def weights_of(folder: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = load_file(folder / "model.safetensors")
    return weights


def test_stages_and_adapters_end_in_a_plain_folder(folder: Path, ranks: Any) -> None:
    assert len(ranks[0]["staged"]["points"]) == 3
    before, after = weights_of(folder / "model"), weights_of(folder / "staged" / "export")
    assert before.keys() == after.keys()
    moved: dict[str, set[str]] = {"vision": set(), "merger": set(), "language": set(), "embeddings": set()}
    for name, value in before.items():
        if not torch.equal(value.bfloat16(), after[name]):
            moved[group_of(name)].add(name)
    matrices = {name for name, value in before.items() if value.ndim == 2}
    assert not moved["embeddings"]
    for part in ("vision", "language"):
        # Linear layers have adapters; norms, biases and the product over patches stand still.
        assert moved[part] == {name for name in matrices if group_of(name) == part}
    assert not moved["merger"], "held in both stages"


def test_the_other_engine_ends_in_the_same_folder(folder: Path, ranks: Any) -> None:
    ours, theirs = (weights_of(folder / name / "export") for name in ("under-fsdp", "staged"))
    assert {name: value.dtype for name, value in ours.items()} == {name: value.dtype for name, value in theirs.items()}
    for name, value in theirs.items():
        # Both compute in bf16, whose rounding turns Adam's direction where a gradient is next to nothing.
        torch.testing.assert_close(ours[name], value, rtol=0.02, atol=0.02, msg=name)
    both = (ranks[0][name]["points"] for name in ("under fsdp", "staged"))
    for one, other in zip(*both, strict=True):
        assert one["train/loss"] == pytest.approx(other["train/loss"], rel=0.02)


def test_the_folder_holds_what_verifies_it(folder: Path, ranks: Any) -> None:
    assert "error" not in ranks[0]["staged"]
    exported = str(folder / "staged" / "export")
    assert verify_folder(exported) == {"recipe": "toy"}
    fixture = read_fixture(exported)
    assert fixture.batch.num_comparisons == 8 and fixture.batch.num_patches > 0 and fixture.dtype == torch.bfloat16
    model = load_reward_model(exported, dtype=torch.bfloat16)
    batch = with_indices(fixture.batch, model.row_format)
    torch.testing.assert_close(model(batch), fixture.rewards, rtol=0.1, atol=0.1)


def test_resuming_at_a_stage_gives_the_same_model(folder: Path, ranks: Any) -> None:
    whole, resumed = ranks[0]["staged"]["points"], ranks[0]["resumed"]["points"]
    assert [point["train/loss"] for point in resumed] == [point["train/loss"] for point in whole[1:]]
    for name in ("model.safetensors", "reward_head.safetensors", FIXTURE):
        first, second = ((folder / run / "export" / name).read_bytes() for run in ("staged", "resumed"))
        assert first == second, name


def test_all_ranks_end_after_the_step_in_which_one_is_told(folder: Path, ranks: Any) -> None:
    assert [rank["stopped"] for rank in ranks] == [{"error": "after step 1 of 3"}] * 2
    assert len(ranks[0]["resumed"]["points"]) == 2
    assert CheckpointStore(str(folder / "resumed" / "checkpoints")).complete_steps() == [2, 3], "the newest two"


def test_weights_outside_the_loss_stop_the_training(ranks: Any) -> None:
    for rank in ranks:
        error = rank["detached"]["error"]
        assert "train and got no gradient" in error and "layers.0.mlp.layer.gate_proj.weight" in error


def test_an_export_of_other_weights_stops_every_rank_and_is_never_taken_for_a_model(folder: Path, ranks: Any) -> None:
    for rank in ranks:
        assert "gives other rewards than the engine that trained it" in rank["lost"]["error"]
    assert not is_complete(str(folder / "lost" / "export"))
    assert (folder / "lost" / "export.unverified").is_dir()
