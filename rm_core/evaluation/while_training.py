"""What a training evaluates on while it trains: recipe and prepared data -> sets for the group to score.

    held-out split -> the rows of `train.evaluate_limit`, spread evenly -> planning table, labels
    rewards of the group -> `curve.curve_numbers` -> points under the names that `evaluate` logs
    a suite that the driver has prepared (`suites.prepared`) -> all its rows -> its own numbers
    a suite that the driver prepared (`suites.prepared`) -> all its rows -> its own numbers

Labels are read from the table of rows: no shard is opened before the group scores.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.errors import RecipeError, RunError
from data_pipeline.storage import is_local, join
from data_pipeline.storage.cache import ShardCache
from rm_core.batches.decoding import Comparisons
from rm_core.evaluation.curve import UNRANKED, curve_numbers
from rm_core.evaluation.suites.prepared import PreparedSuite, open_prepared
from rm_core.model.families import family_of
from rm_core.model.flops import cost_model
from rm_core.model_folder.remote import backbone_settings
from rm_core.packing.epoch import AskedData, question_sizes
from rm_core.packing.sizes import PlanningTable
from rm_core.scoring.scored import ScoredComparison
from rm_core.train_config.asking import asking_of
from rm_core.train_config.config import TRAINING_LOSS, TrainConfig
from rm_core.training.evaluation import EvaluationSet, Rewards

__all__ = ["check_best_metric", "evaluation_sets", "names_of", "suite_folder"]

_COLUMNS = ("id", "source", "ranks", "response_lengths", "image_rows")


def evaluation_sets(config: TrainConfig, data: PreparedData) -> list[EvaluationSet]:
    """The sets of `train.evaluate_every`; none where it is 0. The same in the driver and on every rank.

    Raises:
        RecipeError: there is nothing to evaluate on, a Comparison alone exceeds a budget of the training, or the model
            reads text only and would see images.
        MissingInput: a suite was not prepared.
    """
    if not config.evaluate_every:
        return []
    return [_heldout(config, data), *(_suite(config, name) for name in config.evaluate_suites)]


def names_of(one: EvaluationSet) -> list[str]:
    """What evaluations on a set log: known before a model is, since only labels decide."""
    return list(one.measure([(0.0,) * int(count) for count in one.table.num_responses]))


def check_best_metric(config: TrainConfig, names: Sequence[str]) -> None:
    """Refuse a `train.best_metric` that is none of the `names` that evaluations log.

    Raises:
        RecipeError: names those that there are.
    """
    there = [TRAINING_LOSS, *(name for name in names if name not in UNRANKED)]
    if config.best_metric not in there:
        raise RecipeError(
            f"train.best_metric={config.best_metric!r} is no number of these evaluations; there are {', '.join(there)}"
        )


def suite_folder(config: TrainConfig, name: str) -> str:
    """Where the driver puts a prepared suite for the group."""
    return join(config.output, "suites", name)


def _heldout(config: TrainConfig, data: PreparedData) -> EvaluationSet:
    rows = _rows(data.split_indices("heldout"), config.evaluate_limit)
    labels = _labels(data, rows)
    if not any(len(set(one.ranks)) > 1 for one in labels):
        raise RecipeError(
            f"train.evaluate_every={config.evaluate_every}: the {len(rows)} held-out Comparisons of {data.folder!r} "
            "hold no pair to rank; raise preprocess.split.heldout_fraction, or set train.evaluate_every=0"
        )
    whole = len(data.split_indices("heldout"))
    return EvaluationSet(
        name="heldout",
        measured_on=f"{len(rows):,} of {whole:,} held-out Comparisons",
        data=_view(config, data),
        table=_table(config, data, rows, "held-out Comparisons"),
        measure=partial(_measure, labels),
    )


def _suite(config: TrainConfig, name: str) -> EvaluationSet:
    place = suite_folder(config, name)
    suite = open_prepared(name, place, None if is_local(place) else ShardCache(config.cache_dir, config.cache_bytes))
    if not len(suite.data):
        raise RecipeError(
            f"train.evaluate_suites: none of the {len(suite.items)} rows of {name} can be read by this model: prepare "
            "the data with a larger preprocess.rules.max_tokens, or leave the suite out"
        )
    return EvaluationSet(
        name=name,
        measured_on=suite.measured_on,
        data=_view(config, suite.data),
        table=_table(config, suite.data, np.arange(len(suite.data)), f"rows of {name}"),
        measure=partial(_measure_suite, suite),
    )


def _view(config: TrainConfig, data: PreparedData) -> Comparisons:
    """The rows as the model reads them."""
    asking = asking_of(config, data.manifest.reading.encode, evaluates=True)
    return data if asking is None else AskedData(data, asking)


def _table(config: TrainConfig, data: PreparedData, rows: npt.NDArray[np.int64], what: str) -> PlanningTable:
    """Of rows that the model can read within the training's budgets."""
    backbone = backbone_settings(config.model, "make a folder with `basereward init-model`")
    asking = asking_of(config, data.manifest.reading.encode, evaluates=True)
    table = PlanningTable.from_rows(
        data.all_rows, rows, places=data.row_indices(rows), cost_model=cost_model(backbone),
        questions=None if asking is None else question_sizes(asking),
    )  # fmt: skip
    if not family_of(backbone.model_type).has_vision and table.has_images.any():
        raise RecipeError(
            f"train.model={config.model!r} reads text only, and {int(table.has_images.sum())} {what} show images: "
            "evaluate on text only, or set train.evaluate_every=0"
        )
    table.check_fits(tokens=config.token_budget, patches=config.patch_budget)
    return table


def _measure_suite(suite: PreparedSuite, rewards: Rewards) -> dict[str, float]:
    for place, given in enumerate(rewards):
        if not all(map(math.isfinite, given)):
            raise RunError(
                f"row {suite.places.index(place)} of {suite.name} has rewards {list(given)}: the model has diverged; "
                "check the training loss"
            )
    return suite.numbers(rewards)


def _rows(split: npt.NDArray[np.int64], limit: int | None) -> npt.NDArray[np.int64]:
    """All of a split, or so many of them at equal distances: 3 of rows 0 to 9 are 0, 3 and 6."""
    if limit is None or limit >= len(split):
        return split
    return split[np.arange(limit) * len(split) // limit]


def _labels(data: PreparedData, rows: npt.NDArray[np.int64]) -> list[ScoredComparison]:
    """Each Comparison with rewards of 0."""
    columns = data.all_rows.select(_COLUMNS).take(data.row_indices(rows)).to_pydict()
    return [
        ScoredComparison(
            id=name, source=source, rewards=(0.0,) * len(ranks), ranks=tuple(ranks),
            response_lengths=tuple(lengths), num_images=len(images), group=str(place),
        )
        for place, (name, source, ranks, lengths, images) in enumerate(zip(*columns.values(), strict=True))
    ]  # fmt: skip


def _measure(labels: Sequence[ScoredComparison], rewards: Rewards) -> dict[str, float]:
    return curve_numbers([replace(one, rewards=given) for one, given in zip(labels, rewards, strict=True)])
