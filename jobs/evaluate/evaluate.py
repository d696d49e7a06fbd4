"""`basereward evaluate`: an exported model, one split of prepared data, benchmarks -> report, rewards, MLflow metrics.

    prepare   verify the model, open the data
    here      score the split by `scoring_actors` -> scored.parquet -> numbers (`rm_core.evaluation`)
    probes    the split again with changes -> what the score may rest on
    suites    published benchmarks: rewards of all rows -> their own numbers; `publish_suites` shows them
    judge     gives the rewards in place of the model, where the recipe names one
    publish   report, MLflow, terminal

Numbers go to the MLflow run of the model's training where the tracking store has it.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from cluster.session import ClusterInfo
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.errors import BaserewardError, RunError
from data_pipeline.filtering.groups import group_names
from data_pipeline.inspection.samples import read_samples
from data_pipeline.storage import join
from jobs.evaluate.judge import judge_split
from jobs.evaluate.prepare import Evaluation, prepare
from jobs.evaluate.probes import probe_split
from jobs.evaluate.publish import SplitResult, publish, write_cost
from jobs.evaluate.publish_suites import publish_suites
from jobs.evaluate.scoring_actors import ScoringJob, ScoringPool, collect
from jobs.evaluate.suites import SuiteResult, measure_suites, open_suites
from jobs.evaluate.writing import score_written
from jobs.pages.failure_views import NUM_FAILURES, SUITE_BYTES, failure_views
from jobs.pages.judge_view import judge_facts
from jobs.pages.suite_report import SuiteView, suite_view
from jobs.recipe.schema import EvaluateConfig, Recipe
from jobs.runtime.leases import writes
from rm_core.evaluation.diagnostics.diagnose import diagnose
from rm_core.evaluation.failures import worst_failures
from rm_core.evaluation.intervals import Resampling
from rm_core.evaluation.metrics import evaluate
from rm_core.evaluation.results import EvaluationReport
from rm_core.scoring.cost import ScoringCost
from rm_core.scoring.scored import ScoredComparison
from rm_core.scoring.scored_file import SCORED_FILE, write_scored

__all__ = ["run"]

_CHUNK = 64

Indices = npt.NDArray[np.int64]


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
        RunError: the split is empty, a reward is not finite, a scoring process died, or the judge gives no answer.
    """
    evaluation = prepare(recipe)
    config = evaluation.config
    # A wrong file is refused before anything is scored.
    suites = open_suites(config, [*recipe.train.evaluate_suites, *recipe.ensemble.suites])
    job = ScoringJob(
        model=config.model,
        token_budget=config.token_budget,
        patch_budget=config.patch_budget,
        attention=config.attention,
        data=None if evaluation.data is None else config.data,
        critiques=config.critiques,
        verdicts=config.verdicts,
    )
    found, results = None, []
    try:
        with ScoringPool(job, recipe.cluster, opened, placed) as pool:
            found = None if evaluation.data is None else _evaluate_split(evaluation, evaluation.data, pool)
            results = measure_suites(recipe, config, suites, pool) if suites else []
    except BaserewardError:
        if evaluation.data is not None and found is not None:
            publish(evaluation, evaluation.data, found)  # a suite failed, the split did not
        raise
    views = [_suite_view(one, config.judge.model or recipe.name) for one in results]
    if evaluation.data is not None and found is not None:
        publish(evaluation, evaluation.data, found, views)
    if suites:
        publish_suites(evaluation, suites, results, views)
    return None if found is None else found.report


def _suite_view(result: SuiteResult, model: str) -> SuiteView:
    failures = failure_views(result.failures, result.samples, SUITE_BYTES)
    return suite_view(result.report, model, failures, {} if result.judged is None else judge_facts(result.judged))


def _evaluate_split(evaluation: Evaluation, data: PreparedData, pool: ScoringPool) -> SplitResult:
    config = evaluation.config
    whole = data.split_indices(config.split or "")
    rows = whole[: config.limit]
    if len(rows) == 0:
        splits = sorted(set(data.rows["split"].to_pylist()))
        raise RunError(f"split {config.split!r} of {config.data} holds no Comparison; it has {', '.join(splits)}")
    judged, cost, spent = None, None, None
    if evaluation.is_judged:
        scored, judged = judge_split(evaluation, data, rows.tolist())
    elif evaluation.writes:
        scored, cost = score_written(evaluation, data, pool, rows.tolist())
        spent = cost.whole
    else:
        scored = _score_split(config, pool, rows)
        spent = ScoringCost(items=len(rows), written_tokens=0, seconds=pool.seconds())
    groups = group_names(data, whole)[: len(rows)]
    scored = [replace(one, group=group) for one, group in zip(scored, groups, strict=True)]
    write_scored(join(config.output, SCORED_FILE), scored, evaluation.origin())
    write_cost(config.output, spent)
    report = evaluate(
        scored, confidence=config.confidence, bootstrap_samples=config.bootstrap_samples, seed=config.seed
    )
    probed = probe_split(evaluation, data, pool, rows.tolist(), whole.tolist())
    resampling = Resampling(confidence=config.confidence, samples=config.bootstrap_samples, seed=config.seed)
    failures = worst_failures(scored, NUM_FAILURES)
    return SplitResult(
        report=report,
        diagnostics=diagnose(scored, probed, resampling),
        failures=failures,
        samples=read_samples(data, [int(rows[one.place]) for one in failures]),
        judged=judged,
        cost=cost,
        spent=spent,
    )


def _score_split(config: EvaluateConfig, pool: ScoringPool, rows: Indices) -> list[ScoredComparison]:
    """Every Comparison of the split, each scored once, in the order of the data."""
    chunks = [chunk.tolist() for chunk in np.array_split(rows, -(-len(rows) // _CHUNK))]
    return collect("evaluate Comparisons", len(rows), pool.rows(chunks, blank_images=config.blank_images))
