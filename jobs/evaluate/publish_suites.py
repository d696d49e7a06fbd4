"""Publish the suites of an evaluation: JSON, Markdown and the page in its folder, numbers in MLflow, a table to read.

``suites.json``   every number, with what it was measured on
``suites.md``     each suite in the layout of its papers, ours above the published rows
``suites.html``   a page of them, where no split was scored, whose page has a section a suite otherwise
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from data_pipeline.shown import markdown
from data_pipeline.storage import join, name_of, sha256_of, write_atomic
from jobs.evaluate.prepare import Evaluation
from jobs.evaluate.publish import facts_of, judge_tag, tracked
from jobs.evaluate.suites import SUITES_FOLDER, SuiteResult
from jobs.pages.formats import ends
from jobs.pages.judge_view import judge_cover, judge_facts
from jobs.pages.suite_report import SuiteView, render_suites, suites_markdown
from jobs.registry.registry import ModelRegistry
from jobs.runtime.terminal import columns, say, table
from jobs.tracking.run_writer import SUITE_TAG
from rm_core.evaluation.judge.kept import JudgeCounts
from rm_core.evaluation.suites.files import SuiteData
from rm_core.evaluation.suites.report import SuiteReport
from rm_core.scoring.scored_file import SCORED_FILE

__all__ = ["SUITES_FILE", "SUITES_HEADING", "document_of", "in_a_line", "publish_suites", "short_table", "show_suites"]

SUITES_FILE = "suites.json"
SUITES_HEADING = "Published benchmarks"


def publish_suites(
    evaluation: Evaluation, suites: Sequence[SuiteData], results: Sequence[SuiteResult], views: Sequence[SuiteView]
) -> None:
    """Write, log and show what was measured.

    Args:
        suites: where each was read.
        views: the results as texts.
    """
    recipe, output = evaluation.recipe, evaluation.config.output
    title, facts, given_by = f"Benchmarks of {recipe.name}", facts_of(evaluation), judge_cover(evaluation.config.judge)
    reports = [one.report for one in results]
    document = {
        "title": title,
        "facts": facts,
        "suites": [document_of(data, one.report, one.judged) for data, one in zip(suites, results, strict=True)],
    }
    write_atomic(join(output, "suites.md"), suites_markdown(views, title, given_by).encode())
    pages = [] if evaluation.data is not None else ["suites.html"]
    for page in pages:
        html = render_suites(views, title=title, facts=facts, given_by=given_by)
        write_atomic(join(output, page), html.encode())
    write_atomic(join(output, SUITES_FILE), (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())
    _track(evaluation, reports, [SUITES_FILE, "suites.md", *pages])
    for one in results:
        if one.judged is not None:
            table(f"The judge of {one.report.title}", list(judge_facts(one.judged).items()))
    show_suites(reports)
    say(f"wrote {join(recipe.evaluate.output, 'suites.md')}")


def document_of(data: SuiteData, report: SuiteReport, judged: JudgeCounts | None = None) -> dict[str, Any]:
    """A suite's part of ``suites.json``; `judged`: what asking a judge came to, where one gave the rewards."""
    files = [{"name": name_of(url), "sha256": sha256_of(url)} for url in data.files]
    asked = {} if judged is None else {"judge": asdict(judged)}
    return {"folder": data.folder, "files": files, **report.to_json(), **asked}


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
        by = judge_cover(evaluation.config.judge)
        tracker.set_tags({**tags, **judge_tag(tracker, by)})
        given_by = f"{markdown(by, limit=400)}\n\n" if by else ""
        tracker.describe(f"{given_by}{short_table(reports)}", SUITES_HEADING)
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
