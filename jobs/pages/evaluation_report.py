"""An EvaluationReport as files: report.json for programs, report.html for people; both hold the same numbers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from data_pipeline.storage import join, write_atomic
from jobs.pages.diagnostics_views import diagnostics_view, warnings_of
from jobs.pages.environment import render
from jobs.pages.failure_views import FailureView
from jobs.pages.formats import Card, Row, interval, number, percent, signed, signed_ends
from jobs.pages.judge_view import JudgeView
from jobs.pages.plots import evaluation as plots
from jobs.pages.suite_report import SuiteView, opening
from rm_core.evaluation.diagnostics.diagnose import Diagnostics
from rm_core.evaluation.intervals import Interval
from rm_core.evaluation.results import Accuracy, EvaluationReport, Group

__all__ = ["render_html", "write_report"]

_COLUMNS = (
    "",
    "comparisons",
    "groups",
    "pairs",
    "right",
    "accuracy",
    "interval",
    "tied rewards",
    "tied labels",
    "longer wins",
    "over that",
    "interval of it",
    "top-1",
    "mean margin",
)


def write_report(
    folder: str,
    report: EvaluationReport,
    *,
    title: str,
    facts: Mapping[str, str],
    diagnostics: Diagnostics | None = None,
    failures: Sequence[FailureView] = (),
    suites: Sequence[SuiteView] = (),
    judged: JudgeView | None = None,
) -> None:
    """Write ``report.json`` and ``report.html`` into `folder`, a local path or s3://, the JSON last.

    Args:
        folder: made where it is missing.
        report: what `evaluate` returned.
        title: the heading of the page.
        facts: what was evaluated and how (model, data, recipe), shown as a table in the given order.
        diagnostics: what the score may rest on; its warnings open the page.
        failures: Comparisons on which the model is most wrong, for the page.
        suites: published benchmarks that were measured too, for the page; their numbers are in a file of their own.
        judged: the judge that gave the rewards; None: the model did.
    """
    document = {"title": title, "facts": dict(facts), **report.to_json()}
    if judged is not None:
        document["judge"] = asdict(judged.counts)
    if diagnostics is not None:
        document["diagnostics"] = asdict(diagnostics)
    page = render_html(
        report, title=title, facts=facts, diagnostics=diagnostics, failures=failures, suites=suites, judged=judged
    )
    write_atomic(join(folder, "report.html"), page.encode())
    write_atomic(
        join(folder, "report.json"),
        (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(),
    )


def render_html(
    report: EvaluationReport,
    *,
    title: str,
    facts: Mapping[str, str],
    diagnostics: Diagnostics | None = None,
    failures: Sequence[FailureView] = (),
    suites: Sequence[SuiteView] = (),
    judged: JudgeView | None = None,
) -> str:
    """The report as one HTML page that needs no other file and no network."""
    kinds = report.by_modality | {f"{count} responses": group for count, group in report.by_num_responses.items()}
    blank = report.blank_images
    return render(
        "evaluation.html.j2",
        title=title,
        facts=facts,
        report=report,
        cards=_cards(report),
        by_source=plots.accuracy_by_group("Pair accuracy by source", {"all": report.overall, **report.by_source}),
        by_kind=plots.accuracy_by_group("Pair accuracy by kind", kinds),
        real_and_blank=None if blank is None else plots.real_and_blank(blank),
        margins=plots.margin_bars(report.margins),
        rewards=plots.reward_band(report.rewards_by_length),
        calibration=plots.calibration_curve("Calibration", report.calibration),
        best_of_n=plots.best_of_n_curves(report.best_of_n) if report.best_of_n else None,
        given_by="" if judged is None else judged.cover,
        warnings=[
            *([] if diagnostics is None else warnings_of(diagnostics)),
            *([] if judged is None else judged.warnings),
            *opening(suites),
        ],
        diagnosed=None if diagnostics is None else diagnostics_view(diagnostics),
        failures=failures,
        suites=suites,
        columns=_COLUMNS,
        groups={
            "": [_row("all", report.overall)],
            "by source": _rows(report.by_source),
            "by number of responses": _rows(report.by_num_responses),
            "by modality": _rows(report.by_modality),
        },
    )


def _cards(report: EvaluationReport) -> list[Card]:
    overall, blank = report.overall, report.blank_images
    shares: dict[str, Accuracy] = {"Held-out accuracy": overall.accuracy}
    image, text = report.by_modality.get("image"), report.by_modality.get("text")
    if blank is not None:
        shares |= {"Image accuracy": blank.real, "Blank images": blank.blank}
    elif image is not None:
        shares["Image accuracy"] = image.accuracy
    if image is not None and text is not None:
        shares["Text accuracy"] = text.accuracy
    cards = [Card(name=name, value=percent(one.value), note=interval(one.interval)) for name, one in shares.items()]
    length_only, over = overall.length_only, overall.over_length
    return [
        replace(cards[0], style="first"),
        *cards[1:],
        Card(name="Longer answer wins", value=percent(length_only.value), note=interval(length_only.interval)),
        Card(
            name="Points over that",
            value=signed(100 * over.value, 1),
            note=signed_ends(_points(over.interval), 1),
            style="bad" if over.value < 0 else "",
        ),
        Card(
            name="Comparisons",
            value=f"{report.num_comparisons:,}",
            note=f"in {report.num_groups:,} groups; {report.num_unordered:,} without order",
        ),
        Card(
            name="Pairs",
            value=f"{overall.accuracy.num_pairs:,}",
            note=f"{overall.accuracy.tied_rewards:,} with tied rewards",
        ),
    ]


def _rows(groups: Mapping[str, Group]) -> list[Row]:
    return [_row(name, group) for name, group in groups.items()]


def _row(name: str, group: Group) -> Row:
    accuracy = group.accuracy
    cells = (
        f"{accuracy.num_comparisons:,}",
        f"{accuracy.num_groups:,}",
        f"{accuracy.num_pairs:,}",
        f"{accuracy.right:,}",
        percent(accuracy.value),
        interval(accuracy.interval),
        f"{accuracy.tied_rewards:,}",
        f"{group.tied_labels:,}",
        percent(group.length_only.value),
        signed(100 * group.over_length.value, 1),
        signed_ends(_points(group.over_length.interval), 1),
        percent(group.top1.value),
        number(group.mean_margin),
    )
    return Row(name=name, cells=cells)


def _points(ends: Interval) -> Interval:
    """In points of accuracy."""
    return replace(ends, low=100 * ends.low, high=100 * ends.high)
