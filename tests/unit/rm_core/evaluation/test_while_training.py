"""What a training evaluates on: rows, numbers and names, known before a model is there."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prepared_toys import ToyData, mixed_toy, write_toy

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import RecipeError, RunError
from rm_core.evaluation.curve import curve_numbers
from rm_core.evaluation.metrics import evaluate
from rm_core.evaluation.while_training import check_best_metric, evaluation_sets, names_of
from rm_core.model.shape_config import backbone_config
from rm_core.scoring.scored import ScoredComparison
from rm_core.train_config.config import TrainConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("while-training")
    write_toy(path / "shards", mixed_toy(60))
    tokenizer = load_tokenizer(str(path / "toy-model"))
    backbone = backbone_config("tiny", vocab_size=tokenizer.vocab_size, special_ids=tokenizer.special_ids)
    backbone.save_pretrained(path / "toy-model")
    return path


def config_of(folder: Path, **changes: Any) -> TrainConfig:
    base = {"model": str(folder / "toy-model"), "data": str(folder / "shards"), "evaluate_every": 10}
    return TrainConfig(**base | changes)


def random_scores(count: int) -> list[ScoredComparison]:
    random = np.random.default_rng(0)
    ranks = [(0, 1), (0, 1, 1), (2, 0, 1, 1), (0, 0)]
    return [
        ScoredComparison(
            id=str(i), source="ab"[i % 2], rewards=tuple(random.integers(-3, 4, len(ranks[i % 4])).tolist()),
            ranks=ranks[i % 4], response_lengths=tuple(random.integers(1, 9, len(ranks[i % 4])).tolist()),
            num_images=i % 3, group=str(i),
        )
        for i in range(count)
    ]  # fmt: skip


def test_points_are_the_numbers_of_the_report() -> None:
    scored = random_scores(60)
    report, points = evaluate(scored, bootstrap_samples=1).numbers(), curve_numbers(scored)
    for name, value in points.items():
        own = name.removeprefix("eval/")
        assert value == report[f"source/{own[-1]}/accuracy" if own.startswith("by_source/") else own], name
    left_out = {name for name in report if f"eval/{name}" not in points and "source/" not in name}
    assert {"accuracy_low", "accuracy_high", "num_comparisons", "num_pairs", "num_groups"} <= left_out
    margins = [a - b for one in scored for i, a in zip(one.ranks, one.rewards, strict=True) for j, b in
               zip(one.ranks, one.rewards, strict=True) if i < j]  # fmt: skip
    assert points["eval/log_loss"] == pytest.approx(sum(np.log1p(np.exp(-np.array(margins)))) / len(margins))


def test_the_split_is_measured_by_source_and_a_limit_is_spread_over_it(folder: Path) -> None:
    config = config_of(folder)
    data = PreparedData.open(config.data)
    heldout = data.split_indices("heldout")
    [whole] = evaluation_sets(config, data)
    assert whole.table.index.tolist() == heldout.tolist()
    right = [tuple(-float(rank) for rank in data.encoded(int(row)).ranks) for row in heldout]
    numbers = whole.measure(right)
    names = ["accuracy", "top1_accuracy", "image_accuracy", "text_accuracy"]
    names += [f"by_source/{name}" for name in ("scenes", "chat", "captions")]
    assert all(numbers[f"eval/{name}"] == 1.0 for name in names)
    with pytest.raises(RunError, match="the model has diverged"):
        whole.measure([(float("nan"), *one[1:]) for one in right])
    [some] = evaluation_sets(replace(config, evaluate_limit=3), data)
    assert some.table.index.tolist() == [heldout[i * len(heldout) // 3] for i in range(3)]
    assert evaluation_sets(replace(config, evaluate_every=0), data) == []


def test_a_metric_that_is_not_there_is_refused_with_those_that_are(folder: Path) -> None:
    config = config_of(folder)
    [one] = evaluation_sets(config, PreparedData.open(config.data))
    names = names_of(one)
    for name in ("train/loss", "eval/log_loss", "eval/by_source/scenes", "eval/text_accuracy"):
        check_best_metric(replace(config, best_metric=name), names)
    for name in ("eval/acuracy", "eval/by_source/nobody", "eval/mean_margin", "accuracy"):
        with pytest.raises(RecipeError) as error:
            check_best_metric(replace(config, best_metric=name), names)
        refusal = f"train.best_metric='{name}' is no number of these evaluations; there are train/loss, eval/accuracy, "
        assert refusal in str(error.value) and "mean_margin" not in str(error.value).partition(";")[2]


def test_what_cannot_be_evaluated_is_refused_before_a_group_starts(folder: Path, tmp_path: Path) -> None:
    config = config_of(folder, token_budget=300)
    with pytest.raises(RecipeError, match="needs 372 of token_budget=300"):
        evaluation_sets(config, PreparedData.open(config.data))
    rows = [replace(row, split="train") for row in mixed_toy(4).rows]
    data = PreparedData.open(write_toy(tmp_path / "shards", ToyData(rows=rows)))
    with pytest.raises(RecipeError, match=r"the 0 held-out Comparisons of .* hold no pair to rank"):
        evaluation_sets(config_of(folder), data)
    text_only = tmp_path / "text"
    text_only.mkdir()
    reads = {"model_type": "qwen3", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "head_dim": 8}
    (text_only / "config.json").write_text(json.dumps(reads | {"num_key_value_heads": 1, "intermediate_size": 8}))
    with pytest.raises(RecipeError, match="reads text only, and 6 held-out Comparisons show images"):
        evaluation_sets(replace(config_of(folder), model=str(text_only)), PreparedData.open(config.data))
