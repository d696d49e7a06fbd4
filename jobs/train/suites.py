"""The published benchmarks that a training evaluates on: read and encoded by the driver, for the whole group.

train.evaluate_suites, evaluate.suite_root ... -> SuiteData, counts checked -> <train.output>/suites/NAME
"""

from collections.abc import Sequence
from dataclasses import asdict, replace

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.tokenizer import load_tokenizer
from jobs.recipe.schema import Recipe
from jobs.recipe.suites import open_named
from jobs.runtime.terminal import progress
from rm_core.evaluation.suites.files import SuiteData
from rm_core.evaluation.suites.lines import SuiteReader
from rm_core.evaluation.suites.prepared import prepare_suite, suite_numbers
from rm_core.evaluation.while_training import check_best_metric, evaluation_sets, names_of, suite_folder
from rm_core.train_config.config import TrainConfig
from rm_core.training.evaluation import EvaluationSet

__all__ = ["checked_suites", "prepared_sets"]


def checked_suites(recipe: Recipe, config: TrainConfig, data: PreparedData) -> list[SuiteData]:
    """The suites, each read and counted, before anything is written.

    Raises:
        RecipeError: there is nothing to evaluate on, `train.best_metric` is no number of these evaluations, it is not
            said where a suite is, or a name is no suite's.
        UserError: a suite is not there, or not as published.
    """
    suites = open_named(recipe.evaluate, config.evaluate_suites, "train.evaluate_suites")
    names = [name for one in evaluation_sets(_without_suites(config), data) for name in names_of(one)]
    for one in suites:
        names += suite_numbers(one.suite.name, one.items, [(0.0,) * len(item.ranks) for item in one.items])
    check_best_metric(config, names)
    return suites


def prepared_sets(
    recipe: Recipe, config: TrainConfig, data: PreparedData, suites: Sequence[SuiteData]
) -> list[EvaluationSet]:
    """What the training evaluates on. Each suite is written for the group, where it isn't there yet: read as the model
    learns to read its training data.

    Raises:
        RecipeError: a row exceeds a budget of the training.
        MissingInput: a picture is not there.
    """
    reading = data.manifest.reading
    media = reading.bounded(recipe.preprocess.media)
    missing = recipe.evaluate.missing_pictures
    for one in suites:
        encoder = Encoder(load_tokenizer(config.model), reading.encode)
        reader = SuiteReader(one, encoder, media, reading.max_tokens, without_pictures=missing == "without")
        done = prepare_suite(
            one, reader, reading, suite_folder(config, one.suite.name), media=asdict(media), missing_pictures=missing
        )
        with progress(f"read {one.suite.title}", len(one.items)) as advance:
            for rows in done:
                advance(rows, "")
    return evaluation_sets(config, data)


def _without_suites(config: TrainConfig) -> TrainConfig:
    return replace(config, evaluate_suites=[])
