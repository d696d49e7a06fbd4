"""A judgement as files for people: ``ensemble.html`` and ``ensemble.png``; `Judgement.to_json` is for programs."""

from collections.abc import Mapping, Sequence
from html import escape

from data_pipeline.storage import join, write_atomic
from jobs.pages import evaluation_plots as plots
from jobs.pages.ensemble_plots import draw
from jobs.pages.shell import card, figure, page
from jobs.pages.svg import Axes, number, percent
from rm_core.ensembles.ensemble import Ensemble
from rm_core.ensembles.judgement import Judged, Judgement
from rm_core.evaluation.results import EvaluationReport, Share

__all__ = ["PAGE", "PICTURE", "render_html", "write_ensemble_report"]

PAGE, PICTURE = "ensemble.html", "ensemble.png"
_ENSEMBLE = "ensemble"


def write_ensemble_report(
    folder: str, ensemble: Ensemble, judgement: Judgement, *, title: str, facts: Mapping[str, str]
) -> None:
    """Write the page and the picture into `folder`.

    Args:
        title: the heading of the page.
        facts: what was put together, fitted and judged, shown as a table in the given order.
    """
    write_atomic(join(folder, PAGE), render_html(ensemble, judgement, title=title, facts=facts).encode())
    write_atomic(join(folder, PICTURE), draw(judgement))


def render_html(ensemble: Ensemble, judgement: Judgement, *, title: str, facts: Mapping[str, str]) -> str:
    """One HTML page that needs no other file and no network."""
    report = judgement.ensemble.report
    lead = (
        f"Rule {ensemble.rule}, fitted on {ensemble.num_comparisons:,} Comparisons, judged on "
        f"{report.num_comparisons:,} others. Intervals have {100 * report.confidence:g} % confidence."
    )
    body = [
        f'<h1>{escape(title)}</h1>\n<p class="lead">{lead}</p>',
        _cards(judgement),
        _figures(judgement),
        _members(ensemble, judgement),
        _rules(judgement),
        _facts(facts),
        _meanings(ensemble),
    ]
    return page(title, "\n".join(body))


def _cards(judgement: Judgement) -> str:
    ours = judgement.ensemble
    everything = ours.report.num_comparisons
    whole = {name: one for name, one in judgement.members.items() if one.report.num_comparisons == everything}
    best, member = max(
        (whole or judgement.members).items(), key=lambda item: item[1].report.overall.accuracy.value
    )  # accuracies on text alone and on everything can't be compared
    best_accuracy = member.report.overall.accuracy
    cards = [
        card(
            "Ensemble accuracy",
            percent(ours.report.overall.accuracy.value),
            _interval(ours.report.overall.accuracy),
            "first",
        ),
        card("Best member", percent(best_accuracy.value), escape(best)),
        card("Calibration error", f"{ours.after.error:.3f}", f"{ours.before.error:.3f} at temperature 1"),
        card("Log loss", f"{ours.after.log_loss:.3f}", f"{ours.before.log_loss:.3f} at temperature 1; a coin 0.693"),
        card("Temperature", number(ours.after.temperature), "margins are divided by it"),
        card("Judged", f"{ours.report.num_comparisons:,}", f"{ours.report.overall.accuracy.num_pairs:,} ordered pairs"),
    ]
    return f'<div class="cards">\n{"".join(cards)}</div>'


def _figures(judgement: Judgement) -> str:
    groups = [(_ENSEMBLE, judgement.ensemble.report.overall)]
    groups += [(name, one.report.overall) for name, one in judgement.members.items()]
    report = judgement.ensemble.report
    kinds = [*report.by_modality.items(), *report.by_source.items()]
    key = '<i class="key"></i>accuracy with interval &ensp; <i class="key ring"></i>longer response wins'
    accuracy = figure("The ensemble and its members", key, plots.accuracy_by_group(groups))
    by_kind = figure("The ensemble by kind", key, plots.accuracy_by_group(kinds))
    doubt = figure(
        "Risk and coverage",
        '<i class="key"></i>pairs on which members are far apart go first &ensp; <i class="key other"></i>pairs of '
        "small margin go first &ensp; dashed: at random",
        _risk(judgement),
    )
    note = "a dot a bin, larger with more pairs; dashed: what the margins promise is what is seen"
    ours = judgement.ensemble
    before = figure("Calibration at temperature 1", note, plots.calibration_curve(report.calibration))
    after = figure(
        f"Calibration at temperature {number(ours.after.temperature)}", note, plots.calibration_curve(ours.bins_after)
    )
    return (
        f'<div class="figures">\n{accuracy}{by_kind}</div>\n<div class="figures small">\n{before}{after}{doubt}</div>'
    )


def _risk(judgement: Judgement) -> str:
    curves = (judgement.by_spread, judgement.by_margin)
    highest = max(max(curve.risk) for curve in curves) or 0.1
    axes = Axes((0.0, 1.0), (0.0, highest * 1.1), as_percent=True)
    everything = curves[0].risk[-1]
    marks = f'<polyline class="chance" points="{axes.points([(0.0, everything), (1.0, everything)])}"/>'
    for curve, style in zip(curves, ("mark", "other"), strict=True):
        points = list(zip(curve.coverage, curve.risk, strict=True))
        marks += f'<polyline class="line" style="stroke:var(--{style})" points="{axes.points(points)}"/>'
        for x, y in points:
            told = f"{percent(x)} kept: {percent(y)} wrong"
            place = f'cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}"'
            marks += f'<circle class="{style}" {place} r="3"><title>{told}</title></circle>'
    return axes.chart("Risk and coverage", "pairs that are kept", "wrong among them", marks)


def _members(ensemble: Ensemble, judgement: Judgement) -> str:
    total = sum(one.weight for one in ensemble.members)
    fitted = {one.name: one for one in ensemble.members}
    names = ("", "reads", "weight", "scale: mean", "scale: spread", "fit accuracy", "fit margin", "judged accuracy",
             "interval", "calibration error", "temperature")  # fmt: skip
    rows = [_member_row(_ENSEMBLE, ["all", "", "", "", "", ""], judgement.ensemble)]
    for name, judged in judgement.members.items():
        one = fitted.get(name)
        cells = ["", "", "", "", "", ""]
        if one is not None:
            reads = "text only" if one.text_only else "all"
            scale = [f"{one.mean:.4g}", f"{one.spread:.4g}", percent(one.accuracy), f"{one.margin:.3f}"]
            cells = [reads, percent(one.weight / total), *scale]
        rows.append(_member_row(name, cells, judged))
    return _table("Members", names, rows)


def _member_row(name: str, cells: Sequence[str], judged: Judged) -> list[str]:
    accuracy = judged.report.overall.accuracy
    measured = [
        percent(accuracy.value),
        _interval(accuracy),
        f"{judged.after.error:.3f}",
        number(judged.after.temperature),
    ]
    return [name, *cells, *measured]


def _rules(judgement: Judgement) -> str:
    """A row a member and a rule, a column a kind of Comparison: the layout of BaseReward's Table 7."""
    reports = {name: one.report for name, one in judgement.members.items()} | {
        f"rule {rule}": report for rule, report in judgement.rules.items()
    }
    first = judgement.ensemble.report
    kinds = [("modality", name) for name in first.by_modality] + [("source", name) for name in first.by_source]
    rows = []
    for name, report in reports.items():
        found = [_group(report, kind, group) for kind, group in kinds]
        rows.append([name, percent(report.overall.accuracy.value), *found])
    rows += [[f"rule {rule}", reason, *("" for _ in kinds)] for rule, reason in judgement.no_rules.items()]
    return _table("Every rule on the same Comparisons", ["", "all", *(name for _, name in kinds)], rows)


def _group(report: EvaluationReport, kind: str, name: str) -> str:
    group = (report.by_modality if kind == "modality" else report.by_source).get(name)
    return "" if group is None else percent(group.accuracy.value)


def _table(title: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    lines = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>\n'
        for row in rows
    )
    return (
        f'<section class="wide"><h2>{title}</h2><div class="scroll"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}</tbody></table></div></section>"
    )


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(key)}</th><td>{escape(value)}</td></tr>\n' for key, value in facts.items()
    )
    return f'<section class="wide facts"><h2>What was put together</h2><table><tbody>\n{rows}</tbody></table></section>'


def _meanings(ensemble: Ensemble) -> str:
    return (
        '<section class="wide"><h2>What the numbers mean</h2><p class="note">Each member\'s rewards are brought to one '
        "scale by the mean and spread of its rewards on the Comparisons that were fitted on; weights are scaled to sum "
        "to 1 over the members that read a Comparison. All accuracies but those under fit are of the judged "
        "Comparisons, which share no image and no text-only prompt with the fitted ones. A pair is right where the "
        "better response has strictly the higher reward. Calibration error is the mean distance of predicted from "
        "observed accuracy over ten bins; P(better) = sigmoid(margin / temperature). Risk is the share of wrong pairs "
        f"among those that are kept. The rule here is {ensemble.rule}.</p></section>"
    )


def _interval(share: Share) -> str:
    return f"{percent(share.interval.low)} to {percent(share.interval.high)}"
