"""A judgement as one PNG, for places that show no HTML: MLflow's artifact view, a paper, a chat."""

import io
from collections.abc import Sequence
from typing import Any

from rm_core.ensembles.judgement import Judgement
from rm_core.evaluation.curves import CalibrationBin

__all__ = ["draw"]

_MARK, _OTHER, _SOFT = "#2a6fc9", "#d9662b", "#8f8e87"


def draw(judgement: Judgement) -> bytes:
    """Accuracies with intervals, calibration before and after the temperature, risk and coverage; 1500 x 480 pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.8), dpi=100, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    accuracy, calibration, risk = figure.subplots(1, 3)
    _accuracies(accuracy, judgement)
    _calibration(calibration, judgement)
    _risk(risk, judgement)
    for axes in (accuracy, calibration, risk):
        axes.grid(color="#e2e1db", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    canvas.print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def _accuracies(axes: Any, judgement: Judgement) -> None:
    named = {"ensemble": judgement.ensemble} | judgement.members
    for place, (name, one) in enumerate(reversed(named.items())):
        accuracy = one.report.overall.accuracy
        colour = _MARK if name == "ensemble" else _OTHER
        axes.plot(
            [100 * accuracy.interval.low, 100 * accuracy.interval.high], [place, place], color=colour, linewidth=2.5
        )
        axes.plot([100 * accuracy.value], [place], "o", color=colour, markersize=8)
    axes.set_yticks(range(len(named)), list(reversed(named)))
    axes.set_ylim(-0.6, len(named) - 0.4)
    confidence = 100 * judgement.ensemble.report.confidence
    axes.set(xlabel=f"pair accuracy, % (with {confidence:g} % intervals)", title="Accuracy on judged Comparisons")


def _calibration(axes: Any, judgement: Judgement) -> None:
    ours = judgement.ensemble
    axes.plot([50, 100], [50, 100], "--", color=_SOFT, linewidth=1)
    _bins(axes, ours.report.calibration, _OTHER, f"temperature 1 (error {ours.before.error:.3f})")
    after = f"temperature {ours.after.temperature:.3g} (error {ours.after.error:.3f})"
    _bins(axes, ours.bins_after, _MARK, after)
    axes.legend(frameon=False, loc="lower right")
    axes.set(xlabel="predicted, %", ylabel="observed, %", title="Calibration of the ensemble")


def _bins(axes: Any, bins: Sequence[CalibrationBin], colour: str, label: str) -> None:
    most = max(one.num_pairs for one in bins)
    x, y = [100 * one.predicted for one in bins], [100 * one.observed for one in bins]
    axes.plot(x, y, color=colour, linewidth=1.5, label=label)
    axes.scatter(x, y, s=[15 + 90 * one.num_pairs / most for one in bins], color=colour)


def _risk(axes: Any, judgement: Judgement) -> None:
    everything = 100 * judgement.by_spread.risk[-1]
    axes.axhline(everything, linestyle="--", color=_SOFT, linewidth=1, label="at random")
    for curve, colour, label in (
        (judgement.by_spread, _MARK, "members far apart go first"),
        (judgement.by_margin, _OTHER, "small margins go first"),
    ):
        x, y = [100 * one for one in curve.coverage], [100 * one for one in curve.risk]
        axes.plot(x, y, "o-", color=colour, markersize=4, linewidth=1.5, label=f"{label} (area {curve.area:.3f})")
    axes.set_ylim(bottom=0)
    axes.legend(loc="best", framealpha=0.9, edgecolor="none")
    axes.set(xlabel="pairs that are kept, %", ylabel="wrong among them, %", title="Risk and coverage")
