"""Accuracy beside cost, in the layout of the paper's Table 1: a row for each point of the sweep, held out first."""

from collections.abc import Sequence
from math import fsum

from jobs.pages.formats import Row, number
from jobs.pages.sweep_page import CostView
from rm_core.scaling.series import TrialPoint, by_label

__all__ = ["cost_lines", "cost_view"]

_HOUR_S = 3600.0
_ITEMS = 1000


def cost_view(points: Sequence[TrialPoint]) -> CostView | None:
    """The table; None where no point says what its rewards cost.

    Args:
        points: in the order of the rows; seeds of a label share one.
    """
    known = [point for point in points if point.item_seconds is not None]
    if not known:
        return None
    labels = dict.fromkeys(point.label for point in known)
    of_label = by_label(known)
    sources = sorted({name for point in known for name in point.by_source})
    device = "GPU" if known[0].on_gpus else "CPU"
    return CostView(
        accuracy_columns=["overall", "interval", *sources],
        cost_columns=["tokens written", "seconds", f"{device}-hours of {_ITEMS:,}", f"{device}-hours of training"],
        rows=[_row(label, of_label[label], sources) for label in labels],
        num_seeds=max(map(len, of_label.values())),
        device=device,
    )


def cost_lines(view: CostView) -> list[list[str]]:
    """The same as cells of text: a heading, and a line a row."""
    return [["", *view.accuracy_columns, *view.cost_columns], *([row.name, *row.cells] for row in view.rows)]


def _row(label: str, points: Sequence[TrialPoint], sources: Sequence[str]) -> Row:
    """Means over the seeds of a label, the accuracies in percent."""
    ends = [point.interval for point in points if point.interval is not None]
    interval = " to ".join(_percent([one[end] for one in ends]) for end in (0, 1)) if ends else ""
    names = set.intersection(*(set(point.by_source) for point in points))
    by_source = [_percent([one.by_source[name] for one in points]) if name in names else "" for name in sources]
    seconds = _mean([one.item_seconds or 0.0 for one in points])
    return Row(
        name=label,
        cells=[
            _percent([one.accuracy for one in points]), interval, *by_source,
            f"{_mean([one.written_tokens or 0.0 for one in points]):.1f}", f"{seconds:.3g}",
            number(_ITEMS * seconds / _HOUR_S), number(_mean([one.gpu_hours for one in points])),
        ],
    )  # fmt: skip


def _percent(values: Sequence[float]) -> str:
    return f"{100 * _mean(values):.1f}"


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)
