"""A whole training on two ranks over groups of one prompt, against the training over the same records apart."""

from dataclasses import replace
from pathlib import Path

import pytest
from distributed_ranks import run_ranks
from grouped_toys import PAIRS, PROMPTS, pairs_of_prompts

from data_pipeline.config import PreprocessConfig
from data_pipeline.pipeline import prepare
from rm_core.model.config import InitModelConfig
from rm_core.model_folder.folder import verify_folder
from rm_core.model_folder.initialise import initialise_model
from rm_core.objectives.config import ObjectiveConfig
from rm_core.train_config.config import OptimizerConfig, TrainConfig, ZeroConfig
from rm_core.training import worker
from rm_core.training.trainer import Hooks

Points = list[dict[str, float]]
SAME = ("train/loss", "train/accuracy", "train/margin", "train/grad_norm", "train/reward_std")


def train_both(path: str) -> dict[bool, Points]:
    """What this rank logged of each training: False: records apart, True: grouped."""
    return {grouped: train(Path(path), grouped=grouped) for grouped in (False, True)}


def train(folder: Path, *, grouped: bool) -> Points:
    points: Points = []
    hooks = Hooks(
        begin=lambda steps: None, log=lambda _, metrics: points.append(dict(metrics)), before_save=lambda: None,
        stop=lambda: False, note=print,
    )  # fmt: skip
    output = folder / f"train-{grouped}"
    config = TrainConfig(
        model=str(folder / "backbone"), data=str(folder / f"shards-{grouped}"), output=str(output),
        global_batch=PROMPTS * len(PAIRS), global_batch_unit="pairs", max_steps=3, precision="fp32", log_every=1,
        zero=ZeroConfig(stage=2), optimizer=OptimizerConfig(learning_rate=1e-2, warmup_ratio=0.0),
        objective=ObjectiveConfig(l2_coefficient=0.1, batch_zero_coefficient=0.1), cache_dir=str(folder / "cache"),
    )  # fmt: skip
    worker.train_rank(config, hooks, export_to=str(output / "export"), lineage={"recipe": "toy"})
    return points


@pytest.mark.drill
def test_a_training_over_groups_is_that_over_their_records(tmp_path: Path) -> None:
    config = pairs_of_prompts(tmp_path)
    for grouped in (False, True):
        prepare(replace(config, group_prompts=grouped, output=str(tmp_path / f"shards-{grouped}")))
    model = InitModelConfig(output=str(tmp_path / "backbone"), tokenizer=config.tokenizer)
    initialise_model(model, PreprocessConfig(), train_tokenizer=lambda folder: None)
    (points, *_) = run_ranks(train_both, 2, tmp_path / "results", str(tmp_path))
    assert len(points[True]) == len(points[False]) == 3
    for ours, theirs in zip(points[True], points[False], strict=True):
        for name in SAME:
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-5), name
    assert verify_folder(str(tmp_path / "train-True" / "export")) == {"recipe": "toy"}
