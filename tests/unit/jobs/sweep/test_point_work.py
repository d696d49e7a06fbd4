"""What a trial is charged for: the steps that its training took."""

from dataclasses import replace
from pathlib import Path

from prepared_toys import mixed_toy, write_toy

from data_pipeline.encoding.tokenizer import load_tokenizer
from jobs.recipe.schema import Recipe
from jobs.sweep.point import _work
from rm_core.model.shape_config import backbone_config
from rm_core.model_folder.folder import finish_folder
from rm_core.train_config.config import TrainConfig
from rm_core.train_config.weights import StageConfig


def test_a_trial_that_ended_early_counts_the_steps_that_it_took(tmp_path: Path) -> None:
    write_toy(tmp_path / "shards", mixed_toy(20))
    tokenizer = load_tokenizer(str(tmp_path / "toy-model"))
    backbone = backbone_config("tiny", vocab_size=tokenizer.vocab_size, special_ids=tokenizer.special_ids)
    backbone.save_pretrained(tmp_path / "toy-model")
    train = TrainConfig(
        model=str(tmp_path / "toy-model"), data=str(tmp_path / "shards"), output=str(tmp_path / "train"),
        global_batch=4, stages=[StageConfig(only="images", steps=3), StageConfig(only="text", steps=2)],
    )  # fmt: skip
    recipe = replace(Recipe(name="toy"), run_dir=str(tmp_path), train=train)
    found = []
    for lineage in ({}, {"steps": 3}, {"steps": 4}):
        (tmp_path / "train/export").mkdir(parents=True, exist_ok=True)
        finish_folder(str(tmp_path / "train/export"), lineage)
        found.append(_work(recipe))
    assert [comparisons for comparisons, _ in found] == [20, 12, 16]
    assert found[1][1] < found[2][1] < found[0][1]
