"""A judgement as files for people: ``ensemble.html`` and ``ensemble.png``; `Judgement.to_json` is for programs."""

from collections.abc import Mapping, Sequence

from data_pipeline.storage import join, write_atomic
from jobs.pages.environment import render
from jobs.pages.formats import Card, Row, interval, number, percent, signed, signed_ends
from jobs.pages.plots import evaluation as plots
from jobs.pages.plots.ensemble import judgement_png, risk_curves
from rm_core.ensembles.ensemble import Ensemble
from rm_core.ensembles.judgement import Judged, Judgement
from rm_core.evaluation.paired import PairedGroup
from rm_core.evaluation.results import EvaluationReport

__all__ = ["PAGE", "PICTURE", "render_html", "write_ensemble_report"]

PAGE, PICTURE = "ensemble.html", "ensemble.png"
_ENSEMBLE = "ensemble"
_MEMBER_COLUMNS = (
    "",
    "reads",
    "weight",
    "scale: mean",
    "scale: spread",
    "fit accuracy",
    "fit margin",
    "judged accuracy",
    "interval",
    "over the longer answer",
    "ensemble less it",
    "interval of that",
    "calibration error",
    "temperature",
)


def write_ensemble_report(
    folder: str, ensemble: Ensemble, judgement: Judgement, *, title: str, facts: Mapping[str, str]
) -> None:
    """Write the page and the picture into `folder`.

    Args:
        title: the heading of the page.
        facts: what was put together, fitted and judged, shown as a table in the given order.
    """
    write_atomic(join(folder, PAGE), render_html(ensemble, judgement, title=title, facts=facts).encode())
    write_atomic(join(folder, PICTURE), judgement_png(judgement))


def render_html(ensemble: Ensemble, judgement: Judgement, *, title: str, facts: Mapping[str, str]) -> str:
    """One HTML page that needs no other file and no network."""
    judged = judgement.ensemble
    members = {_ENSEMBLE: judged} | judgement.members
    return render(
        "ensemble.html.j2",
        title=title,
        facts=facts,
        ensemble=ensemble,
        judged=judged,
        cards=_cards(judgement),
        by_member=plots.accuracy_by_group(
            "Pair accuracy of the ensemble and its members",
            {name: one.report.overall for name, one in members.items()},
        ),
        by_kind=plots.accuracy_by_group(
            "Pair accuracy of the ensemble by kind", judged.report.by_modality | judged.report.by_source
        ),
        calibration_before=plots.calibration_curve("Calibration at temperature 1", judged.report.calibration),
        calibration_after=plots.calibration_curve("Calibration at the fitted temperature", judged.bins_after),
        risk=risk_curves(judgement),
        member_columns=_MEMBER_COLUMNS,
        members=_member_rows(ensemble, judgement),
        rule_columns=["", "all", *(name for _, name in _kinds(judged.report))],
        rules=_rule_rows(judgement),
    )


def _cards(judgement: Judgement) -> list[Card]:
    judged = judgement.ensemble
    accuracy = judged.report.overall.accuracy
    everything, over = judged.report.num_comparisons, judged.report.overall.over_length
    whole = {name: one for name, one in judgement.members.items() if one.report.num_comparisons == everything}
    best, member = max(
        (whole or judgement.members).items(), key=lambda item: item[1].report.overall.accuracy.value
    )  # accuracies on text alone and on everything can't be compared
    gap = judgement.against[best].difference
    error, loss = f"{judged.before.error:.3f} at temperature 1", f"{judged.before.log_loss:.3f} at temperature 1"
    return [
        Card(name="Ensemble accuracy", value=percent(accuracy.value), note=interval(accuracy.interval), style="first"),
        Card(
            name="Best member",
            value=percent(member.report.overall.accuracy.value),
            note=f"{best}; ensemble less it {signed(100 * gap, 1)} points",
            style="bad" if gap < 0 else "",
        ),
        Card(name="Calibration error", value=f"{judged.after.error:.3f}", note=error),
        Card(name="Log loss", value=f"{judged.after.log_loss:.3f}", note=f"{loss}; a coin 0.693"),
        Card(name="Temperature", value=number(judged.after.temperature), note="margins are divided by it"),
        Card(name="Judged", value=f"{everything:,}", note=f"in {judged.report.num_groups:,} groups"),
        Card(
            name="Over the longer answer",
            value=f"{signed(100 * over.value, 1)} points",
            note=f"{signed(100 * over.interval.low, 1)} to {signed(100 * over.interval.high, 1)}",
            style="bad" if over.value < 0 else "",
        ),
    ]


def _member_rows(ensemble: Ensemble, judgement: Judgement) -> list[Row]:
    total = sum(one.weight for one in ensemble.members)
    fitted = {one.name: one for one in ensemble.members}
    rows = [_member_row(_ENSEMBLE, ["all", "", "", "", "", ""], judgement.ensemble, None)]
    for name, judged in judgement.members.items():
        one = fitted.get(name)
        cells = [""] * 6
        if one is not None:
            reads = "text only" if one.text_only else "all"
            scale = [f"{one.mean:.4g}", f"{one.spread:.4g}", percent(one.accuracy), f"{one.margin:.3f}"]
            cells = [reads, percent(one.weight / total), *scale]
        rows.append(_member_row(name, cells, judged, judgement.against[name]))
    return rows


def _member_row(name: str, cells: Sequence[str], judged: Judged, against: PairedGroup | None) -> Row:
    accuracy = judged.report.overall.accuracy
    less = ["", ""] if against is None else [signed(against.difference), signed_ends(against.interval)]
    measured = (
        percent(accuracy.value),
        interval(accuracy.interval),
        signed(judged.report.overall.over_length.value),
        *less,
        f"{judged.after.error:.3f}",
        number(judged.after.temperature),
    )
    return Row(name=name, cells=[*cells, *measured])


def _kinds(report: EvaluationReport) -> list[tuple[str, str]]:
    return [("modality", name) for name in report.by_modality] + [("source", name) for name in report.by_source]


def _rule_rows(judgement: Judgement) -> list[Row]:
    """A row a member and a rule, a column a kind of Comparison: the layout of BaseReward's Table 7."""
    reports = {name: one.report for name, one in judgement.members.items()} | {
        f"rule {rule}": report for rule, report in judgement.rules.items()
    }
    kinds = _kinds(judgement.ensemble.report)
    rows = []
    for name, report in reports.items():
        found = [_accuracy_of(report, kind, group) for kind, group in kinds]
        rows.append(Row(name=name, cells=[percent(report.overall.accuracy.value), *found]))
    return rows + [
        Row(name=f"rule {rule}", cells=[reason, *("" for _ in kinds)]) for rule, reason in judgement.no_rules.items()
    ]


def _accuracy_of(report: EvaluationReport, kind: str, name: str) -> str:
    group = (report.by_modality if kind == "modality" else report.by_source).get(name)
    return "" if group is None else percent(group.accuracy.value)
