"""The figures of an evaluation: accuracies by group, margins, rewards by length, calibration."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from jobs.pages.formats import number, percent
from jobs.pages.plots import style, ticks
from jobs.pages.plots.layouts import draw_bar, new_plane, new_rows
from jobs.pages.plots.svg import Svg, tip, to_svg
from rm_core.evaluation.curves import CalibrationBin, Histogram, LengthBin
from rm_core.evaluation.results import BestOfN, BlankImages, Group, Share

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "accuracy_by_group",
    "best_of_n_curves",
    "calibration_curve",
    "draw_calibration",
    "margin_bars",
    "real_and_blank",
    "reward_band",
]


def accuracy_by_group(name: str, groups: Mapping[str, Group]) -> Svg:
    """A row a group: accuracy with its interval as a dot and a line, the length-only baseline as a ring."""
    with style.plot_style():
        figure, axes = _new_shares(list(groups), [percent(group.accuracy.value) for group in groups.values()])
        for row, (group_name, group) in enumerate(groups.items()):
            share = group.accuracy
            (line,) = axes.plot(
                [share.interval.low, share.interval.high], [row, row], color=style.MARK, linewidth=2.5,
                solid_capstyle="round",
            )  # fmt: skip
            (dot,) = axes.plot([share.value], [row], "o", color=style.MARK, markersize=11, markeredgewidth=0)
            for artist in (line, dot):
                tip(artist, f"{group_name}: accuracy {_with_interval(share)}")
            (ring,) = axes.plot(
                [group.length_only.value], [row], "o", color=style.CARD, markeredgecolor=style.OTHER, markersize=10,
                markeredgewidth=2,
            )  # fmt: skip
            tip(ring, f"{group_name}: length only {percent(group.length_only.value)}")
        return to_svg(figure, name)


def real_and_blank(blank: BlankImages) -> Svg:
    """Two bars: accuracy with the real images, and with mid-grey ones in their place."""
    shares = {"real images": blank.real, "blank images": blank.blank}
    with style.plot_style():
        figure, axes = _new_shares(list(shares), [percent(share.value) for share in shares.values()])
        for row, (name, share) in enumerate(shares.items()):
            [bar] = axes.barh([row], [share.value], height=0.53, color=(style.MARK, style.OTHER)[row])
            tip(bar, f"{name}: {_with_interval(share)}")
            axes.plot([share.interval.low, share.interval.high], [row, row], color=style.INK, linewidth=1.5)
        return to_svg(figure, "Accuracy with real and with blank images")


def margin_bars(histogram: Histogram) -> Svg:
    """Pairs by margin: wrong ones left of zero, right ones right of it."""
    edges = histogram.edges
    with style.plot_style():
        figure, axes = new_plane((edges[0], edges[-1]), (0, max(histogram.counts) * 1.05))
        for low, high, count in zip(edges[:-1], edges[1:], histogram.counts, strict=True):
            if count:
                colour = style.MARK if low >= 0 else style.OTHER
                text = f"margin {number(low)} to {number(high)}: {count:,} pairs"
                draw_bar(axes, low, high, count, colour=colour, text=text)
        axes.axvline(0, color=style.CHANCE, linewidth=1, dashes=(4, 4))
        axes.set(xlabel="margin (better minus worse reward)", ylabel="pairs")
        return to_svg(figure, "Margins of the pairs")


def reward_band(bins: Sequence[LengthBin]) -> Svg:
    """The median reward, and the half of the rewards around it, against response length."""
    lengths = [one.mean_length for one in bins]
    low, high = min(one.low for one in bins), max(one.high for one in bins)
    air = 0.06 * (high - low)
    with style.plot_style():
        figure, axes = new_plane((min(lengths), max(lengths)), (low - air, high + air))
        ends = [one.low for one in bins], [one.high for one in bins]
        axes.fill_between(lengths, *ends, color=style.MARK, alpha=0.15, linewidth=0)
        axes.plot(lengths, [one.median for one in bins], color=style.MARK, linewidth=2)
        for one in bins:
            (dot,) = axes.plot([one.mean_length], [one.median], "o", color=style.MARK, markersize=8, clip_on=False)
            tip(
                dot,
                f"about {number(one.mean_length)} tokens: median {number(one.median)}, quartiles {number(one.low)} "
                f"and {number(one.high)}, {one.num_responses:,} responses",
            )
        axes.set(xlabel="response length (tokens)", ylabel="reward")
        return to_svg(figure, "Reward against response length")


def calibration_curve(name: str, bins: Sequence[CalibrationBin]) -> Svg:
    """Share of right pairs against the probability that the margins promise; a larger dot holds more pairs."""
    with style.plot_style():
        figure, axes = new_plane((0.5, 1.0), (min([0.5, *(one.observed for one in bins)]), 1.0), as_percent=True)
        axes.plot([0.5, 1], [0.5, 1], color=style.CHANCE, linewidth=1, dashes=(4, 4))
        draw_calibration(axes, bins)
        axes.set(xlabel="predicted: sigmoid of |margin|", ylabel="observed accuracy")
        return to_svg(figure, name)


def best_of_n_curves(by_count: Mapping[str, Sequence[BestOfN]]) -> Svg:
    """A line for each K: the win rate of the pick among n; thin: the most that a pick can have."""
    most = max(len(points) for points in by_count.values())
    with style.plot_style():
        figure, axes = new_plane((1, most), (0.4, 1.0), as_percent=True)
        axes.set_xticks(range(1, most + 1), [str(n) for n in range(1, most + 1)])
        axes.axhline(0.5, color=style.CHANCE, linewidth=1, dashes=(4, 4))
        for count, points in by_count.items():
            steps = [point.n for point in points]
            axes.plot(steps, [point.label for point in points], color=style.OTHER, linewidth=1)
            ends = [point.model.interval.low for point in points], [point.model.interval.high for point in points]
            axes.fill_between(steps, *ends, color=style.MARK, alpha=0.08, linewidth=0)
            axes.plot(steps, [point.model.value for point in points], color=style.MARK, linewidth=2)
            for point in points:
                (dot,) = axes.plot([point.n], [point.model.value], "o", color=style.MARK, markersize=8, clip_on=False)
                tip(
                    dot,
                    f"best of {point.n} among {count}: {_with_interval(point.model)}, at most {percent(point.label)}, "
                    f"{point.num_comparisons:,} comparisons",
                )
        axes.set(xlabel="responses that are picked from", ylabel="win rate of the pick")
        return to_svg(figure, "Best of n")


def draw_calibration(axes: "Axes", bins: Sequence[CalibrationBin], colour: str = style.MARK, label: str = "") -> None:
    """The line and its dots on axes from 0 to 1."""
    predicted, observed = [one.predicted for one in bins], [one.observed for one in bins]
    axes.plot(predicted, observed, color=colour, linewidth=2, label=label)
    most = max(one.num_pairs for one in bins)
    for one in bins:
        size = 6 + 12 * math.sqrt(one.num_pairs / most)
        (dot,) = axes.plot([one.predicted], [one.observed], "o", color=colour, markersize=size, clip_on=False)
        tip(dot, f"predicted {percent(one.predicted)}, observed {percent(one.observed)}, {one.num_pairs:,} pairs")


def _new_shares(names: Sequence[str], values: Sequence[str]) -> tuple["Figure", "Axes"]:
    """Rows over a scale from 0 to 100 %, with chance marked."""
    figure, axes = new_rows(names, values)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], [ticks.whole_percent(tick) for tick in (0, 0.25, 0.5, 0.75, 1)])
    axes.axvline(0.5, color=style.CHANCE, linewidth=1, dashes=(4, 4), zorder=1)
    return figure, axes


def _with_interval(share: Share) -> str:
    return f"{percent(share.value)} ({percent(share.interval.low)} to {percent(share.interval.high)})"
