"""Which plots a sweep's report has, and how each is to be read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jobs.pages.plots.layouts import last_part
from jobs.pages.plots.style import plot_style, to_png
from jobs.pages.plots.svg import Svg, to_svg
from jobs.pages.plots.sweep_grid import grid_figure
from jobs.pages.plots.sweep_laws import scaling_figure
from jobs.pages.plots.sweep_study import axis_figure, cost_figure, ranking_figure
from rm_core.scaling.analysis import Analysis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Picture", "pictures_of"]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One plot."""

    file: str
    """Its name beside the page."""
    title: str
    note: str
    """How to read it."""
    svg: Svg
    """For the page."""
    png: bytes
    """For the file."""
    is_wide: bool = False
    """Whether it takes the whole line."""


def pictures_of(
    analysis: Analysis, axes: Mapping[str, Sequence[str]], *, is_list: bool, with_axes: bool
) -> list[Picture]:
    """The plots that make sense for these points, in the order of the page; none without points.

    Args:
        axes: the labels of each axis of the sweep.
        is_list: whether the sweep is a list of points, which has no axes of its own.
        with_axes: whether the metric is shown along the axes.
    """
    with plot_style():
        pictures = _laws_pictures(analysis)
        if len(analysis.places) > 1:
            note = "dots: runs; rings: means with intervals over seeds, the best in blue"
            pictures.append(_picture("ranking.png", "Ranking", note, ranking_figure(analysis)))
        spent = [point.gpu_hours for point in analysis.points]
        if spent and max(spent) > 1.1 * min(spent):
            name = analysis.metric.replace("_", " ")
            note = f"a ring a point of the sweep; the line joins those whose {name} nothing cheaper equals"
            pictures.append(_picture("cost.png", "What it costs", note, cost_figure(analysis)))
        if analysis.points and with_axes:
            pictures += _axes_pictures(*(_axes_of_list(analysis, axes) if is_list else (analysis, axes)))
    return pictures


def _picture(file: str, title: str, note: str, figure: "Figure", *, is_wide: bool = False) -> Picture:
    svg, png = to_svg(figure, f"{title} ({file})"), to_png(figure)
    return Picture(file=file, title=title, note=note, svg=svg, png=png, is_wide=is_wide)


def _laws_pictures(analysis: Analysis) -> list[Picture]:
    """One a measure that varies."""
    note = (
        "dots: runs; rings: means with intervals over seeds; line and band: the law and where it may run, dashed "
        "where it may be flat; below: residuals of the runs"
    )
    pictures = []
    for measure in dict.fromkeys(fit.measure for fit in analysis.fits):
        figure = scaling_figure([fit for fit in analysis.fits if fit.measure == measure])
        title = f"Loss and accuracy by {measure.name}"
        pictures.append(_picture(f"scaling_{measure.name}.png", title, note, figure, is_wide=True))
    return pictures


def _axes_pictures(analysis: Analysis, axes: Mapping[str, Sequence[str]]) -> list[Picture]:
    """The metric along each axis of a study, and over each two of at most three as cells."""
    several = [axis for axis, labels in axes.items() if len(labels) > 1]
    note = "one line for each setting of the others" if len(several) > 1 else "means with intervals over seeds"
    pictures: list[Picture] = []
    for index, axis in enumerate(several):
        name = last_part(axis)
        figure = axis_figure(analysis, axis, axes[axis])
        pictures.append(_picture(f"axis_{index}_{_file(name)}.png", f"By {name}", note, figure))
    if len(several) in (2, 3):
        note = "means over seeds and what else varies; empty: not run"
        for first, second in [(a, b) for index, a in enumerate(several) for b in several[index + 1 :]]:
            names = [last_part(first), last_part(second)]
            file = f"grid_{'_'.join(_file(name) for name in names)}.png"
            title = f"{names[0]} × {names[1]}".capitalize()
            pictures.append(_picture(file, title, note, grid_figure(analysis, first, second, axes)))
    return pictures


def _axes_of_list(
    analysis: Analysis, axes: Mapping[str, Sequence[str]]
) -> tuple[Analysis, Mapping[str, Sequence[str]]]:
    """A list has one axis, its points; where all of them set the same keys, these are what it is about.

    Else the points stand in no order, which a line through them would give them: the ranking shows them.
    """
    keys = [tuple(sorted(point.overrides)) for point in analysis.points]
    if len(set(keys)) != 1:
        return analysis, {}
    points = [replace(one, axes={key: _label(one.overrides[key]) for key in keys[0]}) for one in analysis.points]
    found = {key: list(dict.fromkeys(point.axes[key] for point in points)) for key in keys[0]}
    if any(len(label) > 40 for labels in found.values() for label in labels):
        return analysis, axes
    return replace(analysis, points=tuple(points)), found


def _label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _file(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)
