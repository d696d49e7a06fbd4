"""Publish the suites of an evaluation: JSON, Markdown and the page in its folder, numbers in MLflow, a table to read.

``suites.json``   every number, with what it was measured on
``suites.md``     each suite in the layout of its papers, ours above the published rows
``suites.html``   a page of them, where no split was scored, whose page has a section a suite otherwise
"""

import json
from collections.abc import Sequence
from typing import Any

from data_pipeline.storage import join, name_of, sha256_of, write_atomic
from jobs.evaluate.prepare import Evaluation
from jobs.evaluate.publish import facts_of, tracked
from jobs.evaluate.suites import SUITES_FOLDER
from jobs.pages.formats import ends
from jobs.pages.suite_report import SuiteView, render_suites, suites_markdown
from jobs.registry.registry import ModelRegistry
from jobs.runtime.terminal import columns, say
from jobs.tracking.run_writer import SUITE_TAG
from rm_core.evaluation.suites.files import SuiteData
from rm_core.evaluation.suites.report import SuiteReport
from rm_core.scoring.scored_file import SCORED_FILE

__all__ = ["SUITES_FILE", "SUITES_HEADING", "document_of", "in_a_line", "publish_suites", "short_table", "show_suites"]

SUITES_FILE = "suites.json"
SUITES_HEADING = "Published benchmarks"


def publish_suites(
    evaluation: Evaluation, suites: Sequence[SuiteData], reports: Sequence[SuiteReport], views: Sequence[SuiteView]
) -> None:
    """Write, log and show what was measured.

    Args:
        suites: where each was read.
        views: the reports as texts.
    """
    recipe, output = evaluation.recipe, evaluation.config.output
    title, facts = f"Benchmarks of {recipe.name}", facts_of(evaluation)
    document = {
        "title": title,
        "facts": facts,
        "suites": [document_of(*one) for one in zip(suites, reports, strict=True)],
    }
    write_atomic(join(output, "suites.md"), suites_markdown(views, title).encode())
    pages = [] if evaluation.data is not None else ["suites.html"]
    for page in pages:
        write_atomic(join(output, page), render_suites(views, title=title, facts=facts).encode())
    write_atomic(join(output, SUITES_FILE), (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())
    _track(evaluation, reports, [SUITES_FILE, "suites.md", *pages])
    show_suites(reports)
    say(f"wrote {join(recipe.evaluate.output, 'suites.md')}")


def document_of(data: SuiteData, report: SuiteReport) -> dict[str, Any]:
    """A suite's part of ``suites.json``."""
    files = [{"name": name_of(url), "sha256": sha256_of(url)} for url in data.files]
    return {"folder": data.folder, "files": files, **report.to_json()}


def _track(evaluation: Evaluation, reports: Sequence[SuiteReport], files: Sequence[str]) -> None:
    output = evaluation.config.output
    with tracked(evaluation) as tracker:
        for one in reports:
            tracker.log_suite(one.suite, {name: number.value for name, number in one.numbers.items()})
            tracker.log_file(
                join(output, SUITES_FOLDER, one.suite, SCORED_FILE), f"evaluation/{SUITES_FOLDER}/{one.suite}"
            )
        for name in files:
            tracker.log_file(join(output, name), "evaluation")
        tags = {f"{SUITE_TAG}{one.suite}": in_a_line(one) for one in reports}
        tracker.set_tags(tags)
        tracker.describe(short_table(reports), SUITES_HEADING)
        ModelRegistry(evaluation.recipe.tracking.uri).tag_versions_of(tracker.run_id, tags)


def in_a_line(report: SuiteReport) -> str:
    """The main number, and what it is of: ``overall 0.822 on 1,250 rows``."""
    name, number = report.main
    return f"{name} {number.value:.3f} on {_measured_on(report)}"


def _measured_on(report: SuiteReport) -> str:
    """What the numbers are of, for whoever sees only them."""
    parts = [f"{report.num_items:,} rows"]
    if report.without_pictures:
        parts.append(f"{report.without_pictures:,} scored without their pictures")
    if report.not_scored:
        parts.append(f"{sum(report.not_scored.values()):,} without rewards, which are wrong")
    return ", ".join(parts)


def short_table(reports: Sequence[SuiteReport]) -> str:
    """The main number of each suite, in Markdown."""
    lines = ["| benchmark | main number | interval | measured on |", "| --- | ---: | ---: | --- |"]
    for one in reports:
        name, number = one.main
        lines.append(f"| {one.title} | {name} {number.value:.3f} | {ends(number.interval)} | {_measured_on(one)} |")
    return "\n".join(lines)


def show_suites(reports: Sequence[SuiteReport]) -> None:
    """The main number of each suite on the terminal."""
    names = ("benchmark", "number", "value", "interval", "rows", "tied pairs", "not scored", "without pictures")
    rows = []
    for one in reports:
        name, number = one.main
        counts = (one.num_items, one.tied_pairs, sum(one.not_scored.values()), one.without_pictures)
        rows.append(
            [one.title, name, f"{number.value:.3f}", ends(number.interval), *(f"{count:,}" for count in counts)]
        )
    columns(SUITES_HEADING, names, rows)
