"""`basereward evaluate`: an exported model, one split of prepared data, benchmarks -> report, rewards, MLflow metrics.

    prepare   verify the model, open the data
    here      score the split by `scoring_actors` -> scored.parquet -> numbers (`rm_core.evaluation.metrics`)
    publish   report, MLflow, terminal
    suites    published benchmarks: rewards of all rows -> their own numbers; `publish_suites` shows them

Numbers go to the MLflow run of the model's training where the tracking store has it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np

from cluster.session import ClusterInfo
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.errors import RunError
from data_pipeline.filtering.groups import group_names
from data_pipeline.storage import join
from jobs.evaluate.prepare import Evaluation, prepare
from jobs.evaluate.publish import publish
from jobs.evaluate.publish_suites import publish_suites
from jobs.evaluate.scoring_actors import ScoringJob, collect, scored_rows
from jobs.evaluate.suites import measure_suites, open_suites
from jobs.recipe.schema import Recipe
from jobs.runtime.leases import writes
from jobs.runtime.ray_session import open_cluster
from rm_core.evaluation.metrics import evaluate
from rm_core.evaluation.results import EvaluationReport
from rm_core.scoring.scored import ScoredComparison
from rm_core.scoring.scored_file import SCORED_FILE, write_scored

__all__ = ["run"]

_CHUNK = 64


@writes("evaluate.output")
def run(
    recipe: Recipe, opened: ClusterInfo | None = None, placed: Callable[[], None] | None = None
) -> EvaluationReport | None:
    """Evaluate `recipe.evaluate.model` and write its report; None where no split is scored, only suites.

    Args:
        opened: the cluster, or the share of it, that a larger job has for this evaluation.
        placed: called once all scoring processes have their place.

    Raises:
        UserError: data or model are not there.
        RunError: the split is empty, a reward is not finite, or a scoring process died.
    """
    evaluation = prepare(recipe)
    # A wrong file is refused before anything is scored.
    suites = open_suites(evaluation.config, recipe.train.evaluate_suites)
    with _cluster_for_both(evaluation, bool(suites), opened) as cluster:
        report = None if evaluation.data is None else _evaluate_split(evaluation, evaluation.data, cluster, placed)
        if suites:
            publish_suites(evaluation, suites, measure_suites(recipe, evaluation.config, suites, cluster), report)
    return report


def _cluster_for_both(
    evaluation: Evaluation, has_suites: bool, opened: ClusterInfo | None
) -> AbstractContextManager[ClusterInfo | None]:
    """One cluster for the split and the suites, where both are scored; else each opens one if it needs it."""
    if evaluation.data is None or not has_suites or evaluation.config.rewards is not None:
        return nullcontext(opened)
    return open_cluster(evaluation.recipe.cluster, opened=opened)


def _evaluate_split(
    evaluation: Evaluation, data: PreparedData, opened: ClusterInfo | None, placed: Callable[[], None] | None
) -> EvaluationReport:
    config = evaluation.config
    scored = score_split(evaluation, data, opened, placed)
    write_scored(join(config.output, SCORED_FILE), scored, evaluation.origin())
    report = evaluate(
        scored, confidence=config.confidence, bootstrap_samples=config.bootstrap_samples, seed=config.seed
    )
    publish(evaluation, data, report)
    return report


def score_split(
    evaluation: Evaluation,
    data: PreparedData,
    opened: ClusterInfo | None = None,
    placed: Callable[[], None] | None = None,
) -> list[ScoredComparison]:
    """Every Comparison of the split, each scored once, in the order of the data and with its group."""
    config = evaluation.config
    assert config.split is not None, "prepared data are opened for a split"
    whole = data.split_indices(config.split)
    rows = whole[: config.limit]
    if len(rows) == 0:
        splits = sorted(set(data.rows["split"].to_pylist()))
        raise RunError(f"split {config.split!r} of {config.data} holds no Comparison; it has {', '.join(splits)}")
    groups = group_names(data, whole)[: len(rows)]
    chunks = [chunk.tolist() for chunk in np.array_split(rows, -(-len(rows) // _CHUNK))]
    job = ScoringJob(
        model=config.model,
        token_budget=config.token_budget,
        patch_budget=config.patch_budget,
        attention=config.attention,
        data=config.data,
    )
    with open_cluster(evaluation.recipe.cluster, opened=opened) as cluster:
        found = scored_rows(job, cluster, chunks, blank_images=config.blank_images, placed=placed)
        scored = collect("evaluate Comparisons", len(rows), found)
    return [replace(one, group=group) for one, group in zip(scored, groups, strict=True)]
