"""Publish an evaluation: a report in its folder, numbers and charts in MLflow, headlines in the terminal."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.inspection.samples import Sample
from data_pipeline.shown import markdown
from data_pipeline.storage import exists, join, parent_of, read_json, write_atomic
from data_pipeline.storage.writing import delete_file
from jobs.evaluate.prepare import Evaluation
from jobs.evaluate.writing import WritingCost
from jobs.pages.diagnostics_views import warnings_of
from jobs.pages.evaluation_report import write_report
from jobs.pages.failure_views import failure_views
from jobs.pages.formats import ends, signed, signed_ends
from jobs.pages.judge_view import judge_cover, judge_view
from jobs.pages.plots.run import bars_png
from jobs.pages.suite_report import SuiteView
from jobs.recipe.schema import Recipe
from jobs.runtime.terminal import say, table
from jobs.tracking.tracker import Tracker
from rm_core.evaluation.diagnostics.diagnose import Diagnostics
from rm_core.evaluation.failures import Failure
from rm_core.evaluation.judge.kept import JudgeCounts
from rm_core.evaluation.results import EvaluationReport, Group
from rm_core.scoring.cost import ScoringCost
from rm_core.scoring.scored_file import SCORED_FILE

__all__ = ["COST_FILE", "SplitResult", "facts_of", "judge_tag", "publish", "read_cost", "tracked", "write_cost"]

COST_FILE = "cost.json"
"""Of `evaluate.output`: Comparisons, tokens written and seconds."""
ACCURACY_PLOT = "plots/accuracy.png"
JUDGE_TAG = "judge"
"""Of a run: who gave its rewards, where it was no model."""
_WHOLE = "whole"


@dataclass(frozen=True, kw_only=True)
class SplitResult:
    """What is known of a split."""

    report: EvaluationReport
    diagnostics: Diagnostics
    failures: Sequence[Failure]
    """The worst ones."""
    samples: Sequence[Sample]
    """Texts and pictures of each of them."""
    judged: JudgeCounts | None = None
    """What asking the judge came to, where one gave the rewards."""
    cost: WritingCost | None = None
    """What writing critiques, or reasoned verdicts, came to, where the model wrote them."""
    spent: ScoringCost | None = None
    """What the rewards cost; None where a judge behind an address gave them."""


def write_cost(output: str, spent: ScoringCost | None) -> None:
    """Keep what the rewards cost beside them; nothing of an earlier evaluation stays."""
    url = join(output, COST_FILE)
    if spent is not None:
        write_atomic(url, (json.dumps(spent.to_json()) + "\n").encode())
    elif exists(url):
        delete_file(url)


def read_cost(output: str) -> ScoringCost | None:
    """What `write_cost` kept in the folder; None: it is not known."""
    url = join(output, COST_FILE)
    return ScoringCost.from_json(read_json(url, dict), url) if exists(url) else None


def publish(evaluation: Evaluation, data: PreparedData, result: SplitResult, suites: Sequence[SuiteView] = ()) -> None:
    """Write the report, log it, and show the headline numbers.

    Args:
        suites: published benchmarks that were measured too, for the page.
    """
    judged = None if result.judged is None else judge_view(evaluation.config.judge, result.judged)
    written = {} if result.cost is None else result.cost.facts()
    write_report(
        evaluation.config.output,
        result.report,
        title=f"Evaluation of {evaluation.recipe.name}",
        facts=facts_of(evaluation) | dict({} if judged is None else judged.facts) | written,
        diagnostics=result.diagnostics,
        failures=failure_views(result.failures, result.samples),
        suites=suites,
        judged=judged,
    )
    with tracked(evaluation) as tracker:
        log(tracker, evaluation, data, result)
    warnings = [*warnings_of(result.diagnostics), *([] if judged is None else judged.warnings)]
    show(evaluation.recipe, result.report, warnings, written if judged is None else judged.facts)


def facts_of(evaluation: Evaluation) -> dict[str, str]:
    """What was evaluated, in words."""
    config = evaluation.recipe.evaluate
    if config.rewards is not None:
        return {"rewards": config.rewards}
    facts = {"model": config.model, "recipe of the model": str(evaluation.lineage.get("recipe", "unknown"))}
    if evaluation.is_judged:
        facts = {"rewards": judge_cover(config.judge)}
    if evaluation.data is not None:
        facts["data"] = f"{config.data}, split {config.split}"
        facts["data fingerprint"] = evaluation.data.manifest.fingerprint
    return facts


@contextmanager
def tracked(evaluation: Evaluation) -> Iterator[Tracker]:
    """The model's training run, or a run of this evaluation's own, which ends with the block."""
    recipe, config = evaluation.recipe, evaluation.config
    of_training = parent_of(config.model)
    own_run = config.rewards is not None or evaluation.is_judged or not exists(join(of_training, "job_state.json"))
    run_dir = config.output if own_run else of_training
    tracker = Tracker(
        recipe.tracking, run_dir=run_dir, run_name=recipe.name, adds=not own_run, patience_s=recipe.tracking.patience_s
    )
    with tracker.ended_by_errors():
        yield tracker
    tracker.finish()


def log(tracker: Tracker, evaluation: Evaluation, data: PreparedData, result: SplitResult) -> None:
    """Numbers, files, charts and the table of the run's page.

    What was not held out has names of its own. A part of a split takes the place of another part only: a run that has
    the numbers of the whole split keeps them.
    """
    recipe, config, report = evaluation.recipe, evaluation.config, result.report
    name = "eval" if config.split == "heldout" else f"eval_{config.split}"
    known, measured_on = tracker.tag(f"{name}.measured_on"), _measured_on(evaluation, data, report)
    if known.startswith(_WHOLE) and not measured_on.startswith(_WHOLE):
        say(f"the run keeps its numbers, which are of the {known}; those of the {measured_on} are in {config.output}")
        return
    cost = {} if result.cost is None else result.cost.numbers()
    cost |= {} if result.spent is None else result.spent.numbers()
    tracker.log_evaluation(report.numbers() | result.diagnostics.numbers() | cost, name)
    folder = "evaluation" if config.split == "heldout" else f"evaluation_{config.split}"
    for file in ("report.json", "report.html", SCORED_FILE):
        tracker.log_file(join(config.output, file), folder)
    title = f"{recipe.name}, split {config.split}"
    picture = ACCURACY_PLOT if config.split == "heldout" else ACCURACY_PLOT.replace(".png", f"_{config.split}.png")
    tracker.log_bytes(bars_png(title, {group: _bar(one) for group, one in groups_of(report).items()}), picture)
    tracker.log_dataset(
        name=f"{recipe.name} {config.split}",
        fingerprint=data.manifest.fingerprint,
        source=config.data,
        profile={
            "split": config.split,
            "comparisons": report.num_comparisons,
            "groups": report.num_groups,
            "address": data.manifest.address,
        },
        context="evaluation",
    )
    heading = f"Split {config.split} of {recipe.evaluate.data}"
    by = judge_cover(config.judge)
    given_by = f"{markdown(by, limit=400)}\n\n" if by else ""
    tracker.describe(f"{given_by}{results_table(report)}\n\nMeasured on the {measured_on}.", heading)
    tracker.set_tags({f"{name}.measured_on": measured_on, **judge_tag(tracker, by)})


def judge_tag(tracker: Tracker, by: str) -> dict[str, str]:
    """The tag that says who gave the rewards; empty where the run's earlier ones were a judge's, and these are not."""
    return {JUDGE_TAG: by} if by or tracker.tag(JUDGE_TAG) else {}


def _measured_on(evaluation: Evaluation, data: PreparedData, report: EvaluationReport) -> str:
    """What the numbers are of, and how sure they are: "whole split heldout: 344 Comparisons in 226 groups, ..."."""
    config, accuracy = evaluation.config, report.overall.accuracy
    size = len(data.split_indices(config.split or ""))
    kind = _WHOLE if report.num_comparisons == size else f"first {report.num_comparisons:,} of {size:,} of"
    return (
        f"{kind} split {config.split}: {report.num_comparisons:,} Comparisons in {report.num_groups:,} groups, "
        f"{accuracy.num_pairs:,} pairs; accuracy {ends(accuracy.interval)}" + _written(evaluation)
    )


def _written(evaluation: Evaluation) -> str:
    """What the model wrote first, and which pairs a judge was asked about."""
    config = evaluation.config
    critiques = config.critiques.source == "written"
    said = f"; {config.critiques.number} critiques of each answer written" if critiques else ""
    if evaluation.writes and not critiques:
        said = f"; {config.verdicts.number} verdicts on each pair and order written"
    return said + ("; a tournament" if config.verdicts.pairs == "tournament" else "")


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
    head = ["Comparisons", "", "in groups", "pair accuracy", "interval", "longer one wins", "over that", "interval"]
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    for name, group in groups.items():
        accuracy, over = group.accuracy, group.over_length
        cells = [markdown(name), f"{accuracy.num_comparisons:,}", f"{accuracy.num_groups:,}"]
        cells += [f"{accuracy.value:.3f}", ends(accuracy.interval), f"{group.length_only.value:.3f}"]
        cells += [signed(over.value), signed_ends(over.interval)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def show(
    recipe: Recipe,
    report: EvaluationReport,
    warnings: Sequence[str] = (),
    judged: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """The headline numbers for the terminal, the shortcuts that explain them, and what a judge or critiques came to."""
    overall, over = report.overall.accuracy, report.overall.over_length
    rows = [
        ("Comparisons", f"{report.num_comparisons:,} in {report.num_groups:,} groups"),
        ("pair accuracy", f"{overall.value:.3f}  ({ends(overall.interval)})"),
        ("longer answer wins", f"{report.overall.length_only.value:.3f}"),
        ("accuracy over that", f"{signed(over.value)}  ({signed_ends(over.interval)})"),
    ]
    if report.blank_images is not None:
        rows.append(("image part", f"{report.blank_images.real.value:.3f}"))
        rows.append(("image part, images blanked", f"{report.blank_images.blank.value:.3f}"))
    rows += [("WARNING", warning) for warning in warnings]
    rows += judged.items()
    rows.append(("report", join(recipe.evaluate.output, "report.html")))
    table(f"Evaluation of {recipe.name}, split {recipe.evaluate.split}", rows)
