"""The tables of a sweep's page, as HTML."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from jobs.pages.svg import number
from jobs.pages.sweep_words import chance, count, estimate, law_words, mean_words, noise_words, score
from rm_core.evaluation.paired import PairedComparison
from rm_core.scaling.analysis import Analysis, Fit
from rm_core.scaling.points import TrialPoint
from rm_core.scaling.power_law import NoFit, PowerLaw
from rm_core.scaling.seeds import Place

__all__ = ["Absent", "absent_table", "laws_table", "points_table", "ranking_table", "section", "sources_table"]


@dataclass(frozen=True, kw_only=True)
class Absent:
    """A trial without a point, as cells."""

    label: str
    seed: str
    state: str
    reason: str


def section(title: str, note: str, head: str, rows: Sequence[str]) -> str:
    """A section with a table; all four are HTML."""
    return (
        f'<section class="wide"><h2>{title}</h2><p class="note">{note}</p><div class="scroll"><table>\n'
        f"<thead>{head}</thead>\n<tbody>\n{''.join(rows)}</tbody></table></div></section>"
    )


def ranking_table(analysis: Analysis, items: Mapping[str, PairedComparison]) -> str:
    """The labels, the best first, with their distance to it over seeds and on the same Comparisons."""
    names = ["", "", "mean", "interval", "seeds", "behind", "interval over seeds"]
    if items:
        names += ["behind on the same Comparisons", "interval", "p"]
    rows = [_place(index, place, items) for index, place in enumerate(analysis.places)]
    first = "highest" if analysis.higher_is_better else "lowest"
    note = (
        f"by {escape(analysis.metric.replace('_', ' '))}, {first} first. "
        "The spread of seeds is pooled over all points; intervals of distances hold together (Bonferroni)."
    )
    return section("Ranking", note, _heads([*names, "more than noise?"], words=True), rows)


def laws_table(fits: Sequence[Fit]) -> str:
    """Both forms of the law for each line of points, or why there is none."""
    names = [
        "",
        "form",
        "exponent b",
        "at the middle",
        "middle of x",
        "floor c",
        "10 times x",
        "bends (p)",
        "criterion",
    ]
    rows = []
    for fit in fits:
        name = f"{fit.quantity.name} by {fit.measure.name}" + (f", {fit.series.name}" if fit.series.name else "")
        for law, form in ((fit.plain, "a x⁻ᵇ"), (fit.with_floor, "c + a x⁻ᵇ")):
            style = ' class="best"' if law is fit.best else ""
            rows.append(
                f'<tr{style}><th scope="row">{escape(name)}</th><td>{form}</td>{_law(law, len(names) - 2)}</tr>\n'
            )
    said = "".join(f"<li>{escape(law_words(fit))}</li>" for fit in fits)
    note = (
        "The form with the lower criterion (Akaike's, for few points) is in blue. The value at the middle is the law's "
        f'at the geometric middle of x, above the floor.</p><ul class="notes">{said}</ul><p class="note">'
    )
    return section("Laws", note, _heads(names), rows)


def sources_table(analysis: Analysis) -> str:
    """Mean accuracy by label and source; nothing where there is one source."""
    names = sorted({name for point in analysis.points for name in point.by_source})
    if len(names) < 2:
        return ""
    means = {place.label: _source_means(analysis.of_label(place.label)) for place in analysis.places}
    top = {name: max(row.get(name, -math.inf) for row in means.values()) for name in names}
    rows = []
    for label, row in means.items():
        cells = [("" if name not in row else score(row[name]), row.get(name) == top[name]) for name in names]
        shown = "".join(f"<td>{f'<b>{text}</b>' if is_top else text}</td>" for text, is_top in cells)
        rows.append(f'<tr><th scope="row">{escape(label)}</th>{shown}</tr>\n')
    note = "means over seeds; the best of each source in bold"
    return section("Accuracy by source", note, _heads(["", *names]), rows)


def points_table(analysis: Analysis) -> str:
    """One finished trial a line."""
    names = [
        "",
        "seed",
        "parameters",
        "Comparisons",
        "FLOPs",
        "GPU-hours",
        "dollars",
        "accuracy",
        "log-loss",
        "train loss",
    ]
    own = analysis.metric not in ("accuracy", "log_loss", "train_loss")
    names += [analysis.metric.replace("_", " ")] if own else []
    rows = []
    for point in analysis.points:
        cells = [
            str(point.seed), count(point.num_parameters), count(point.num_comparisons), f"{point.compute_flops:.3g}",
            number(point.gpu_hours), "" if point.cost is None else number(point.cost), score(point.accuracy),
            score(point.log_loss), score(point.train_loss), *([score(analysis.values[point.id])] if own else []),
            f"<code>{escape(point.mlflow_run_id[:8])}</code>",
        ]  # fmt: skip
        shown = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{escape(point.label)}</th>{shown}</tr>\n')
    note = "one finished trial a line; points.csv holds the same, to the last digit"
    return section("Points", note, _heads([*names, "MLflow run"]), rows)


def absent_table(absent: Sequence[Absent]) -> str:
    """The trials without a point."""
    rows = [
        f'<tr><th scope="row">{escape(one.label)}</th><td>{escape(one.seed)}</td><td>{escape(one.state)}</td>'
        f'<td class="words">{escape(one.reason)}</td></tr>\n'
        for one in absent
    ]
    head = _heads(["", "seed", "state", "why"], words=True)
    return section("Not finished", "these trials are in no number above", head, rows)


def _place(index: int, place: Place, items: Mapping[str, PairedComparison]) -> str:
    cells = [score(place.mean.value), mean_words(place.mean), str(place.mean.num_seeds)]
    cells.append(score(place.behind) if index else "")
    cells.append("" if place.low is None or place.high is None else f"{score(place.low)} to {score(place.high)}")
    paired = items.get(place.label)
    if paired is not None:
        interval = f"{score(-paired.interval.high)} to {score(-paired.interval.low)}"
        cells += [score(-paired.difference), interval, chance(paired.p_value)]
    elif items:
        cells += ["", "", ""]
    shown = "".join(f"<td>{cell}</td>" for cell in cells)
    words = noise_words(place, items) if index else "best"
    return (
        f'<tr{"" if index else " class=best"}><th scope="row">{index + 1}</th>'
        f'<th scope="row">{escape(place.label)}</th>'
        f'{shown}<td class="words">{escape(words)}</td></tr>\n'
    )


def _law(law: PowerLaw | NoFit, columns: int) -> str:
    if isinstance(law, NoFit):
        return f'<td class="words" colspan="{columns}">no law: {escape(law.reason)}</td>'
    cells = [
        estimate(law.exponent),
        estimate(law.scale),
        count(law.centre),
        "none" if law.floor is None else estimate(law.floor),
        f"× {law.factor(10):.3g}",
        "" if law.misfit is None else chance(law.misfit),
        "" if math.isinf(law.score) else f"{law.score:.1f}",
    ]
    return "".join(f"<td>{cell}</td>" for cell in cells)


def _source_means(points: Sequence[TrialPoint]) -> dict[str, float]:
    """Of the sources that all of the points were evaluated on."""
    names = set.intersection(*(set(point.by_source) for point in points))
    return {name: math.fsum(point.by_source[name] for point in points) / len(points) for name in sorted(names)}


def _heads(names: Sequence[str], *, words: bool = False) -> str:
    """A line of headings; `words`: the last column holds text."""
    styles = ["", *[""] * (len(names) - 2), ' class="words"' if words else ""]
    return (
        "<tr>"
        + "".join(f'<th{style} scope="col">{escape(name)}</th>' for name, style in zip(names, styles, strict=True))
        + "</tr>"
    )
