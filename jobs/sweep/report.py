"""The report of a sweep: what its finished trials say, as a page, a table of points and plots.

``report/index.html`` holds everything; beside it stand ``points.csv`` and each plot as PNG. All are made from the
points alone, so a report written again is the same to the last byte.
"""

import csv
import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_pipeline.shown import markdown, unwrapped
from data_pipeline.storage import exists, join, write_atomic
from jobs.pages.formats import score
from jobs.pages.paper_table import load_table
from jobs.pages.sweep_page import render_page
from jobs.pages.sweep_pictures import pictures_of
from jobs.pages.sweep_views import Absent
from jobs.pages.sweep_words import (
    OverLength,
    headline,
    law_words,
    length_cells,
    length_words,
    mean_words,
    noise_words,
)
from jobs.sweep.cost_section import cost_lines, cost_view
from jobs.sweep.paper_section import measured, paper_lines, paper_view
from jobs.sweep.results import SweepResults, evaluation_of, read_sweep
from jobs.tracking.tracker import Tracker
from rm_core.evaluation.matching import match
from rm_core.evaluation.paired import PairedComparison, compare_paired_seeds
from rm_core.scaling.analysis import Analysis, analyse
from rm_core.scaling.series import TrialPoint
from rm_core.scoring.scored import ScoredComparison
from rm_core.scoring.scored_file import SCORED_FILE, read_scored

__all__ = ["read_out", "render_report", "summary", "write_sweep_report"]

_MOST_COMPARED = 12
"""Labels that are compared with the best Comparison by Comparison: their rewards are read for that."""


def write_sweep_report(folder: str, tracker: Tracker | None) -> None:
    """Write ``report/`` into the folder of a sweep, local or s3://, and log it to the sweep's run.

    Trials that have not finished are listed with their reason; with none finished there is a report that says so.

    Args:
        folder: with ``sweep.json`` and ``trials/``.
        tracker: the sweep's parent run; None: nothing is logged.

    Raises:
        MissingInput: there is no sweep.
        RecipeError: the metric or the paper's table is not known.
        CorruptData: a file of the sweep is damaged.
    """
    results = read_sweep(folder)
    files, markdown = render_report(results)
    for name, content in files.items():
        write_atomic(join(folder, "report", name), content)
    if tracker is not None:
        with tempfile.TemporaryDirectory() as local:
            for name, content in files.items():
                Path(local, name).write_bytes(content)
            tracker.log_file(local, "report")
        tracker.describe(markdown, "Results of the sweep")


def render_report(results: SweepResults) -> tuple[dict[str, bytes], str]:
    """The files of the report by name, and its summary in Markdown."""
    analysis, items, lengths = read_out(results)
    pictures = pictures_of(
        analysis, results.axes, is_list=results.method == "list", with_axes=results.report != "scaling"
    )
    paper = None if results.paper_table is None else load_table(results.paper_table)
    html = render_page(
        analysis,
        title=f"Sweep {results.name}",
        pictures=pictures,
        items=items,
        lengths=lengths,
        absent=[
            Absent(label=one.label, seed="" if one.seed is None else str(one.seed), state=one.state, reason=one.reason)
            for one in results.unfinished
        ],
        paper=None if paper is None else paper_view(paper, measured(paper, results.points)),
        cost=cost_view(results.points),
    )
    files = {"points.csv": _csv(results).encode(), **{one.file: one.png for one in pictures}}
    return {**files, "index.html": html.encode()}, summary(results, analysis, items, lengths)


def read_out(results: SweepResults) -> tuple[Analysis, dict[str, PairedComparison], dict[str, OverLength]]:
    """What the points say, the best label against each of the next ones on the Comparisons that both scored, and each
    label against the rule that the longer answer wins.
    """
    analysis = analyse(
        results.points,
        results.values,
        metric=results.metric,
        higher_is_better=results.mode == "max",
        scaling={"scaling": True, "study": False}.get(results.report or ""),
    )
    labels = [place.label for place in analysis.places[: _MOST_COMPARED + 1]]
    scored = {label: _scored(results, analysis.of_label(label)) for label in labels}
    items = _same_comparisons(scored) if results.metric == "accuracy" else {}
    lengths = {label: _over_length(seeds) for label, seeds in scored.items() if seeds and _are_same(seeds)}
    return analysis, items, lengths


def _same_comparisons(scored: Mapping[str, list[list[ScoredComparison]]]) -> dict[str, PairedComparison]:
    """The first label, the best, against the next ones on the Comparisons that all of both scored.

    Args:
        scored: label -> the rewards of each of its seeds.
    """
    winners = next(iter(scored.values()), [])
    found = {}
    for label, seeds in list(scored.items())[1:]:
        together = min(len(winners), len(seeds))
        if together and _are_same([*winners[:together], *seeds[:together]]):
            found[label] = compare_paired_seeds(winners[:together], seeds[:together])
    return found


def _over_length(seeds: Sequence[Sequence[ScoredComparison]]) -> OverLength:
    """The models of one label against the rule that the longer answer wins, on all that they scored."""
    found = compare_paired_seeds(seeds, seeds)
    return OverLength(
        length_only=found.length_only, gain=found.a_over_length,
        num_comparisons=found.num_comparisons, num_groups=found.num_groups,
    )  # fmt: skip


def _scored(results: SweepResults, points: Sequence[TrialPoint]) -> list[list[ScoredComparison]]:
    """The rewards of each point that kept them; those of a version before groups would be taken as independent."""
    urls = [join(evaluation_of(results.folder, point), SCORED_FILE) for point in points]
    found = [read_scored(url) for url in urls if exists(url)]
    return [scored for scored in found if all(one.group is not None for one in scored)]


def _are_same(scored: Sequence[Sequence[ScoredComparison]]) -> bool:
    """Whether all scored the same Comparisons: a study of data may evaluate each model on its own."""
    first = scored[0]
    keys = {(one.source, one.id) for one in first}
    if any({(one.source, one.id) for one in other} != keys or len(other) != len(first) for other in scored):
        return False
    return all(match(first, other).only_a == 0 for other in scored)


def _csv(results: SweepResults) -> str:
    """One point a line, in the order of the sweep; numbers to the last digit."""
    sources = sorted({name for point in results.points for name in point.by_source})
    keys = list(dict.fromkeys(key for point in results.points for key in point.overrides))
    plain = ("id", "label", "seed")
    numbers = ("num_parameters", "num_comparisons", "compute_flops", "gpu_hours", "cost", "accuracy", "log_loss")
    costs = ("written_tokens", "item_seconds")
    last = ("train_loss", "mlflow_run_id")
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    settings = [*(f"axis:{axis}" for axis in results.axes), *(f"set:{key}" for key in keys)]
    writer.writerow([*plain, *settings, *numbers, *costs, *last, "metric", *(f"accuracy:{name}" for name in sources)])
    for point in results.points:
        row = [getattr(point, name) for name in plain] + [point.axes.get(axis, "") for axis in results.axes]
        row += [point.overrides.get(key, "") for key in keys] + [
            getattr(point, name) for name in (*numbers, *costs, *last)
        ]
        writer.writerow([*row, results.values[point.id], *(point.by_source.get(name, "") for name in sources)])
    return sink.getvalue()


def summary(
    results: SweepResults,
    analysis: Analysis,
    items: Mapping[str, PairedComparison],
    lengths: Mapping[str, OverLength],
) -> str:
    """The headline, the ranking, the laws, what did not finish and the paper's table, for the page of the run."""
    lines = [f"{headline(analysis, items)} {length_words(lengths)}".strip(), ""]
    if analysis.places:
        lines += [
            f"| | {analysis.metric} | interval | behind | over the longer answer | interval | more than noise? |",
            "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
        ]
    for index, place in enumerate(analysis.places):
        cells = [place.label, score(place.mean.value), mean_words(place.mean), score(place.behind) if index else ""]
        cells += [*length_cells(lengths.get(place.label)), noise_words(place, items) if index else "best"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *(f"- {law_words(fit)}" for fit in analysis.fits)]
    lines += [
        f"- {one.label}, seed {one.seed}: {one.state}. {markdown(unwrapped(one.reason))}".rstrip()
        for one in results.unfinished
    ]
    if (cost := cost_view(results.points)) is not None:
        head, *rows = cost_lines(cost)
        lines += ["", "### Accuracy in percent, and cost of a Comparison", ""]
        lines += [f"| {' | '.join(cells)} |" for cells in (head, ["---", *["---:"] * (len(head) - 1)], *rows)]
    if results.paper_table is not None:
        paper = load_table(results.paper_table)
        head, *rows = paper_lines(paper, measured(paper, results.points))
        lines += ["", f"### {paper.source} of the paper: {paper.title}, and ours", ""]
        lines += [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines).strip()
