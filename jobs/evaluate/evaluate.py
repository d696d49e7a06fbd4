"""`basereward evaluate`: an exported model + one split of prepared data -> report, rewards, MLflow metrics.

Numbers go to the MLflow run of the model's training where the tracking store has it.
"""

import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cluster.session import ClusterInfo
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.errors import RunError
from data_pipeline.storage import exists, join, parent_of
from jobs.evaluate.scoring_actors import ScoringJob, scored_rows
from jobs.pages.evaluation_report import write_report
from jobs.pages.run_plots import bars_png
from jobs.preprocess.manifests import manifest_of
from jobs.recipe.schema import EvaluateConfig, Recipe, with_absolute_paths
from jobs.runtime.ray_session import open_cluster
from jobs.runtime.terminal import progress, table
from jobs.tracking.tracker import Tracker
from rm_core.evaluation.metrics import evaluate
from rm_core.evaluation.results import EvaluationReport, Group
from rm_core.model_folder.folder import marker_sha256, verify_folder
from rm_core.model_folder.remote import local_model
from rm_core.scoring.scored import ScoredComparison
from rm_core.scoring.scored_file import SCORED_FILE, ScoredOrigin, write_scored

__all__ = ["run"]

ACCURACY_PLOT = "plots/accuracy.png"
_CHUNK = 64


def run(
    recipe: Recipe, opened: ClusterInfo | None = None, placed: Callable[[], None] | None = None
) -> EvaluationReport:
    """Evaluate `recipe.evaluate.model` and write its report.

    Args:
        opened: the cluster, or the share of it, that a larger job has for this evaluation.
        placed: called once all scoring processes have their place.

    Raises:
        UserError: data or model are not there.
        RunError: the split is empty, a reward is not finite, or a scoring process died.
    """
    config = with_absolute_paths(recipe.evaluate, "model", "data", "output")
    lineage = verify_folder(local_model(config.model))
    config = replace(config, data=manifest_of(recipe, config.data))
    data = PreparedData.open(config.data)
    scored = score_split(recipe, config, data, opened, placed)
    write_scored(join(config.output, SCORED_FILE), scored, origin_of(config, data))
    report = evaluate(
        scored,
        confidence=config.confidence,
        bootstrap_samples=config.bootstrap_samples,
        seed=config.seed,
    )
    facts = {
        "model": recipe.evaluate.model,
        "recipe of the model": str(lineage.get("recipe", "unknown")),
        "data": f"{recipe.evaluate.data}, split {config.split}",
        "data fingerprint": data.manifest.fingerprint,
    }
    write_report(config.output, report, title=f"Evaluation of {recipe.name}", facts=facts)
    track(recipe, config, report, data)
    show(recipe, report)
    return report


def origin_of(config: EvaluateConfig, data: PreparedData) -> ScoredOrigin | None:
    """What the rewards are of, for an ensemble that looks for them; None where only some of the split was scored."""
    if config.limit is not None:
        return None
    model = marker_sha256(local_model(config.model))
    return ScoredOrigin(data_fingerprint=data.manifest.fingerprint, split=config.split, model=model)


def score_split(
    recipe: Recipe,
    config: EvaluateConfig,
    data: PreparedData,
    opened: ClusterInfo | None = None,
    placed: Callable[[], None] | None = None,
) -> list[ScoredComparison]:
    """Every Comparison of the split, each scored once, in the order of the data."""
    rows = data.split_indices(config.split)[: config.limit]
    if len(rows) == 0:
        splits = sorted(set(data.rows["split"].to_pylist()))
        raise RunError(f"split {config.split!r} of {config.data} holds no Comparison; it has {', '.join(splits)}")
    chunks = [chunk.tolist() for chunk in np.array_split(rows, -(-len(rows) // _CHUNK))]
    job = ScoringJob(
        model=config.model, token_budget=config.token_budget, patch_budget=config.patch_budget, data=config.data
    )
    scored: list[ScoredComparison] = []
    with (
        open_cluster(recipe.cluster, opened=opened) as cluster,
        progress("evaluate Comparisons", len(rows)) as advance,
    ):
        for chunk in scored_rows(job, cluster, chunks, blank_images=config.blank_images, placed=placed):
            scored += chunk
            advance(len(scored), "")
    return scored


def track(recipe: Recipe, config: EvaluateConfig, report: EvaluationReport, data: PreparedData) -> None:
    """Log numbers and files to the model's training run, or to a run of this evaluation's own."""
    of_training = parent_of(config.model)
    own_run = not exists(join(of_training, "job_state.json"))
    tracker = Tracker(recipe.tracking, run_dir=config.output if own_run else of_training, run_name=recipe.name)
    tracker.log_metrics({f"eval/{_grouped(name)}": value for name, value in report.numbers().items()})
    for name in ("report.json", "report.html", SCORED_FILE):
        tracker.log_file(os.path.join(config.output, name), "evaluation")
    title = f"{recipe.name}, split {config.split}"
    tracker.log_bytes(bars_png(title, {name: _bar(group) for name, group in groups_of(report).items()}), ACCURACY_PLOT)
    tracker.log_dataset(
        name=f"{recipe.name} {config.split}",
        fingerprint=data.manifest.fingerprint,
        source=config.data,
        profile={"split": config.split, "comparisons": report.num_comparisons, "address": data.manifest.address},
        context="evaluation",
    )
    tracker.describe(results_table(report), f"Split {config.split} of {recipe.evaluate.data}")
    tracker.finish()


def _grouped(name: str) -> str:
    """A number's name in MLflow, whose pages make a section of each group: all sources belong into one."""
    return f"by_source/{name.split('/')[1]}" if name.startswith("source/") else name


def groups_of(report: EvaluationReport) -> dict[str, Group]:
    """What the accuracy is asked of: all, each modality, each source."""
    groups = {"all": report.overall, **{f"{name} only": group for name, group in report.by_modality.items()}}
    return groups | dict(report.by_source)


def _bar(group: Group) -> tuple[float, float, float, float]:
    accuracy = group.accuracy
    return accuracy.value, accuracy.interval.low, accuracy.interval.high, group.length_only.value


def results_table(report: EvaluationReport) -> str:
    """Accuracies for the run's page, in Markdown."""
    groups = groups_of(report)
    lines = ["| Comparisons | | pair accuracy | interval | longer one wins |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, group in groups.items():
        accuracy = group.accuracy
        interval = f"{accuracy.interval.low:.3f} to {accuracy.interval.high:.3f}"
        cells = [name, f"{accuracy.num_comparisons:,}", f"{accuracy.value:.3f}", interval]
        lines.append(f"| {' | '.join(cells)} | {group.length_only.value:.3f} |")
    return "\n".join(lines)


def show(recipe: Recipe, report: EvaluationReport) -> None:
    """The headline numbers for the terminal."""
    overall = report.overall.accuracy
    interval = f"{overall.interval.low:.3f} to {overall.interval.high:.3f}"
    rows = [
        ("Comparisons", f"{report.num_comparisons:,}"),
        ("pair accuracy", f"{overall.value:.3f}  ({interval})"),
        ("length-only baseline", f"{report.overall.length_only.value:.3f}"),
    ]
    if report.blank_images is not None:
        rows.append(("image part", f"{report.blank_images.real.value:.3f}"))
        rows.append(("image part, images blanked", f"{report.blank_images.blank.value:.3f}"))
    rows.append(("report", os.path.join(recipe.evaluate.output, "report.html")))
    table(f"Evaluation of {recipe.name}, split {recipe.evaluate.split}", rows)
