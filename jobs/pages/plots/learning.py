"""The picture of a reinforcement learning: what it learns from, and what that stands for, over the steps."""

from collections.abc import Mapping, Sequence

from jobs.pages.plots import style, ticks

__all__ = ["learning_png"]

Points = Sequence[tuple[int, float]]

_PANELS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("reward, which it learns from", (("rl/reward", "own prompts"), ("eval/reward", "held out"))),
    ("gold, which that stands for", (("rl/gold", "own prompts"), ("eval/gold", "held out"))),
    ("nats a token from the start", (("rl/kl", ""),)),
    ("tokens an answer", (("rl/answer_tokens", ""),)),
    ("entropy of a token, nats", (("rl/entropy", ""),)),
    ("share of answers that were cut", (("rl/cut", ""),)),
)


def learning_png(title: str, curves: Mapping[str, Points], *, exported_step: int) -> bytes:
    """Six charts; one without points is left out.

    Args:
        curves: points by the metric's name.
        exported_step: of the weights that were kept: a line there in the first two.
    """
    shown = [(name, lines) for name, lines in _PANELS if any(curves.get(metric) for metric, _ in lines)]
    columns = min(3, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    with style.plot_style():
        figure = style.new_figure(320 * columns, 216 * rows, constrained=True)
        figure.suptitle(title, weight="bold")
        for place, (name, lines) in enumerate(shown, 1):
            axes = figure.add_subplot(rows, columns, place)
            colours = (style.CHANCE, style.MARK) if lines[0][1] else (style.MARK,)  # what is held out counts
            for (metric, label), colour in zip(lines, colours, strict=True):
                if points := curves.get(metric):
                    steps, values = zip(*points, strict=True)
                    axes.plot(steps, values, color=colour, linewidth=1.3, label=label)
            if lines[0][1]:
                axes.legend(frameon=False, fontsize=10)
                axes.axvline(exported_step, color=style.CHANCE, linewidth=1, dashes=(4, 4))
            axes.set_title(name, fontsize=12)
            ticks.linear(axes.xaxis, whole=True)
            ticks.linear(axes.yaxis, words=lambda value: f"{value:.4g}")
        return style.to_png(figure, scale=1.5)
