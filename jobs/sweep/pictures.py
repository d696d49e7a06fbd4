"""Which plots a sweep's report has, and how each is to be read."""

from dataclasses import replace
from typing import Any

from jobs.pages import sweep_plots as plots
from jobs.pages.sweep_page import Picture
from jobs.sweep.results import SweepResults
from rm_core.scaling.analysis import Analysis

__all__ = ["pictures_of"]


def pictures_of(results: SweepResults, analysis: Analysis) -> list[Picture]:
    """The plots that make sense for these points, in the order of the page; none without points."""
    name = results.metric.replace("_", " ")
    found: list[Picture] = []
    for measure in dict.fromkeys(fit.measure for fit in analysis.fits):
        fits = [fit for fit in analysis.fits if fit.measure == measure]
        note = (
            "dots: runs; rings: means with intervals over seeds; line and band: the law and where it may run, dashed "
            "where it may be flat; below: residuals of the runs"
        )
        found.append(
            Picture(
                file=f"scaling_{measure.name}.png",
                title=f"Loss and accuracy by {measure.name}",
                note=note,
                png=plots.scaling_plot(fits),
                is_wide=True,
            )
        )
    if len(analysis.places) > 1:
        note = "dots: runs; rings: means with intervals over seeds, the best in blue"
        found.append(Picture(file="ranking.png", title="Ranking", note=note, png=plots.ranking_plot(analysis)))
    spent = [point.gpu_hours for point in results.points]
    if spent and max(spent) > 1.1 * min(spent):
        note = f"a ring a point of the sweep; the line joins those whose {name} nothing cheaper equals"
        found.append(Picture(file="cost.png", title="What it costs", note=note, png=plots.cost_plot(analysis)))
    has_axes = bool(results.points) and results.report != "scaling"
    return [*found, *(_axes_pictures(results, analysis) if has_axes else [])]


def _axes_pictures(results: SweepResults, analysis: Analysis) -> list[Picture]:
    """The metric along each axis of a study, and over each two of at most three as cells."""
    named, axes = _with_axes_of_list(results, analysis)
    several = [axis for axis, labels in axes.items() if len(labels) > 1]
    found: list[Picture] = []
    for axis in several:
        short, place = axis.rpartition(".")[2].replace("_", " "), len(found)
        note = "one line for each setting of the others" if len(several) > 1 else "means with intervals over seeds"
        png = plots.axis_plot(named, axis, axes[axis])
        found.append(Picture(file=f"axis_{place}_{_file(short)}.png", title=f"By {short}", note=note, png=png))
    if len(several) in (2, 3):
        for first, second in [(a, b) for index, a in enumerate(several) for b in several[index + 1 :]]:
            png = plots.grid_plot(named, first, second, axes)
            names = [axis.rpartition(".")[2].replace("_", " ") for axis in (first, second)]
            file = f"grid_{'_'.join(_file(name) for name in names)}.png"
            note = "means over seeds and what else varies; empty: not run"
            found.append(Picture(file=file, title=f"{names[0]} × {names[1]}".capitalize(), note=note, png=png))
    return found


def _with_axes_of_list(results: SweepResults, analysis: Analysis) -> tuple[Analysis, dict[str, list[str]]]:
    """A list has one axis, its points; where all of them set the same keys, these are what it is about."""
    keys = [tuple(sorted(point.overrides)) for point in results.points]
    if results.method != "list" or len(set(keys)) != 1:
        return analysis, results.axes
    points = [replace(one, axes={key: _label(one.overrides[key]) for key in keys[0]}) for one in analysis.points]
    axes = {key: list(dict.fromkeys(_label(one.overrides[key]) for one in results.points)) for key in keys[0]}
    if any(len(label) > 40 for labels in axes.values() for label in labels):
        return analysis, results.axes
    return replace(analysis, points=tuple(points)), axes


def _label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _file(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)
