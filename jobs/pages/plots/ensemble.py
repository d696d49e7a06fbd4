"""The figures of a judged ensemble: risk and coverage for its page, and the whole judgement as one PNG for MLflow."""

from typing import TYPE_CHECKING

from jobs.pages.formats import percent
from jobs.pages.plots import style, ticks
from jobs.pages.plots.evaluation import draw_calibration
from jobs.pages.plots.layouts import new_plane
from jobs.pages.plots.svg import Svg, tip, to_svg
from rm_core.ensembles.judgement import Judgement

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["judgement_png", "risk_curves"]

_SIZE, _SCALE = (1125, 360), 4 / 3  # 1500 x 480 dots


def risk_curves(judgement: Judgement) -> Svg:
    """The share of wrong pairs among those that are kept, by what goes first."""
    with style.plot_style():
        figure, axes = new_plane((0.0, 1.0), (0.0, _highest_risk(judgement) * 1.1), as_percent=True)
        _draw_risk(axes, judgement)
        return to_svg(figure, "Risk and coverage")


def judgement_png(judgement: Judgement) -> bytes:
    """Accuracies with intervals, calibration before and after the temperature, risk and coverage; 1500 x 480 dots."""
    with style.plot_style():
        figure = style.new_figure(*_SIZE, constrained=True)
        accuracy, calibration, risk = figure.subplots(1, 3)
        _draw_accuracies(accuracy, judgement)
        _draw_both_calibrations(calibration, judgement)
        _draw_risk(risk, judgement)
        risk.set_ylim(0, _highest_risk(judgement) * 1.1)
        risk.set_title("Risk and coverage")
        for axes in (calibration, risk):
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16))  # below, where no line runs
            for axis in (axes.xaxis, axes.yaxis):
                ticks.linear(axis, words=ticks.whole_percent)
        return style.to_png(figure, scale=_SCALE)


def _draw_accuracies(axes: "Axes", judgement: Judgement) -> None:
    """A row a model, the ensemble on top."""
    named = {"ensemble": judgement.ensemble} | judgement.members
    for row, (name, one) in enumerate(named.items()):
        accuracy = one.report.overall.accuracy
        colour = style.MARK if name == "ensemble" else style.OTHER
        axes.plot([accuracy.interval.low, accuracy.interval.high], [row, row], color=colour, linewidth=2.5)
        axes.plot([accuracy.value], [row], "o", color=colour, markersize=8)
    axes.set_yticks(range(len(named)), list(named), color=style.INK)
    axes.set_ylim(len(named) - 0.4, -0.6)
    ticks.linear(axes.xaxis, words=lambda value: f"{100 * value:.4g} %")
    confidence = 100 * judgement.ensemble.report.confidence
    axes.set(xlabel=f"pair accuracy with {confidence:g} % intervals", title="Accuracy on judged Comparisons")


def _draw_both_calibrations(axes: "Axes", judgement: Judgement) -> None:
    ours = judgement.ensemble
    axes.plot([0.5, 1], [0.5, 1], color=style.CHANCE, linewidth=1, dashes=(4, 4))
    before = f"temperature 1 (error {ours.before.error:.3f})"
    after = f"temperature {ours.after.temperature:.3g} (error {ours.after.error:.3f})"
    draw_calibration(axes, ours.report.calibration, style.OTHER, before)
    draw_calibration(axes, ours.bins_after, style.MARK, after)
    axes.set(xlabel="predicted", ylabel="observed", title="Calibration of the ensemble")


def _draw_risk(axes: "Axes", judgement: Judgement) -> None:
    at_random = judgement.by_spread.risk[-1]
    axes.axhline(at_random, color=style.CHANCE, linewidth=1, dashes=(4, 4), label="at random")
    for curve, colour, label in (
        (judgement.by_spread, style.MARK, "members far apart go first"),
        (judgement.by_margin, style.OTHER, "small margins go first"),
    ):
        axes.plot(curve.coverage, curve.risk, color=colour, linewidth=2, label=f"{label} (area {curve.area:.3f})")
        for x, y in zip(curve.coverage, curve.risk, strict=True):
            (dot,) = axes.plot([x], [y], "o", color=colour, markersize=6, clip_on=False)
            tip(dot, f"{percent(x)} kept: {percent(y)} wrong")
    axes.set(xlabel="pairs that are kept", ylabel="wrong among them")


def _highest_risk(judgement: Judgement) -> float:
    return max(*judgement.by_spread.risk, *judgement.by_margin.risk) or 0.1
