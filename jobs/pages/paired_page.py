"""Two models compared, as a verdict in words and as one HTML page."""

from collections.abc import Sequence
from html import escape

from jobs.pages.shell import card, figure, page
from jobs.pages.svg import TOP, svg, ticks
from rm_core.evaluation.paired import PairedComparison, PairedGroup
from rm_core.evaluation.paired_items import ItemDifference

__all__ = ["render_comparison", "verdict"]

_STYLE = """
svg .zero { stroke: var(--chance); stroke-dasharray: 4 4; }
svg .unclear { fill: var(--card); stroke: var(--mark); stroke-width: 2; }
.says { margin: 0 0 16px; font-size: 18px; }
td.left, thead th.left { text-align: left; white-space: normal; overflow-wrap: anywhere; }
"""
_WIDTH, _ROW, _LEFT, _RIGHT = 1080, 34, 180, 240


def verdict(found: PairedComparison, group: PairedGroup | None = None, *, a: str = "A", b: str = "B") -> str:
    """Which is better and by how much, or what it would take to see a difference.

    ``B is better by 0.021 (0.008 to 0.034)``, or ``no difference seen: B - A is +0.004 (-0.010 to 0.018); if that is
    the true one, about 9,300 Comparisons would show it, and these 1,200 show 0.030 or more``.

    Args:
        group: a part of `found`; none: everything.
        a, b: what to call the two.
    """
    one = group or found
    if found.is_clear(one):
        better = b if one.difference > 0 else a
        low, high = sorted((abs(one.interval.low), abs(one.interval.high)))
        return f"{better} is better by {abs(one.difference):.3f} ({low:.3f} to {high:.3f})"
    interval = f"({one.interval.low:.3f} to {one.interval.high:.3f})"
    if not one.a_better and not one.b_better:
        return f"no difference seen: none of the {one.num_comparisons:,} Comparisons is ranked better by one {interval}"
    shows = f"these {one.num_comparisons:,} show {one.detectable:.3f} or more"
    if one.needed is None:
        return f"no difference seen: B - A is 0 {interval}; {shows}".replace("B - A", f"{b} - {a}")
    return (
        f"no difference seen: {b} - {a} is {one.difference:+.3f} {interval}; if that is the true one, about "
        f"{_round(one.needed):,} Comparisons would show it, and {shows}"
    )


def render_comparison(
    found: PairedComparison,
    *,
    a: str,
    b: str,
    differences: tuple[Sequence[ItemDifference], Sequence[ItemDifference]],
    only: tuple[int, int] = (0, 0),
) -> str:
    """The whole page, which needs no other file.

    Args:
        a, b: what the models are called.
        differences: Comparisons that the first gets right and the second wrong, and the other way round.
        only: Comparisons that only the first, and only the second scored; they are in no number.
    """
    left_out = f" {only[0]:,} Comparisons of A alone and {only[1]:,} of B alone are left out." if any(only) else ""
    counts = f"{found.num_comparisons:,} Comparisons with {found.num_pairs:,} ordered pairs, scored by both."
    body = [
        f"<h1>{escape(a)} against {escape(b)}</h1>",
        f'<p class="lead">A is {escape(a)}, B is {escape(b)}. {counts}{left_out}</p>',
        f'<p class="says">{escape(_sentence(verdict(found)))}</p>',
        _cards(found),
        figure(
            "B less A, by group",
            '<i class="key"></i>difference in pair accuracy with its interval; filled where it is more than chance '
            "&ensp; to the right: B is better",
            _chart(found),
        ),
        _table(found),
        _items("A right, B wrong", differences[0]),
        _items("B right, A wrong", differences[1]),
        _meanings(found),
    ]
    return page(f"{a} against {b}", "\n".join(part for part in body if part), style=_STYLE)


def _cards(found: PairedComparison) -> str:
    low, high = found.interval.low, found.interval.high
    discordant, sides = found.a_better + found.b_better, f"{found.a_better:,} for A, {found.b_better:,} for B"
    cards = [
        card("B less A", f"{found.difference:+.3f}", f"{low:+.3f} to {high:+.3f}", "first"),
        card("A", f"{found.a_accuracy:.3f}", "pair accuracy"),
        card("B", f"{found.b_accuracy:.3f}", "pair accuracy"),
        card("Discordant", f"{discordant:,}", sides),
        card("By chance", "< 0.001" if found.p_value < 0.001 else f"{found.p_value:.3f}", "p, exact test of signs"),
    ]
    return f'<div class="cards">\n{"".join(cards)}</div>'


def _chart(found: PairedComparison) -> str:
    """A row a group: the difference as a dot, its interval as a line, 0 dashed."""
    groups = [("all", found), *found.by_group.items()]
    ends = [end for _, one in groups for end in (one.interval.low, one.interval.high)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    if low == high:
        low, high = -0.01, 0.01
    inner = _WIDTH - _LEFT - _RIGHT

    def x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * inner

    bottom = TOP + _ROW * len(groups)
    marks = ""
    for tick in ticks(low, high):
        style = "zero" if tick == 0 else "grid"
        marks += f'<line class="{style}" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{bottom}"/>'
        shown = f"{tick:+.3g}" if tick else "0"
        marks += f'<text class="tick" x="{x(tick):.1f}" y="{bottom + 17}" text-anchor="middle">{shown}</text>'
    for index, (name, one) in enumerate(groups):
        y = TOP + _ROW * (index + 0.5)
        left, middle, right = (f"{x(end):.1f}" for end in (one.interval.low, one.difference, one.interval.high))
        told = f"{name}: {one.difference:+.3f} ({one.interval.low:+.3f} to {one.interval.high:+.3f})"
        style = "mark" if found.is_clear(one) else "unclear"
        short = name if len(name) <= 22 else f"{name[:21]}…"
        marks += (
            f'<text class="label" x="{_LEFT - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(short)}</text>'
            f'<line class="whisker" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<circle class="{style}" cx="{middle}" cy="{y:.1f}" r="5.5"><title>{escape(told)}</title></circle>'
            f'<text class="value" x="{_WIDTH - 4}" y="{y + 4:.1f}" text-anchor="end">{one.difference:+.3f}, '
            f"{one.num_comparisons:,} Comparisons</text>"
        )
    return svg("Difference in pair accuracy by group", _WIDTH, bottom + 26, marks)


def _table(found: PairedComparison) -> str:
    names = ["", "Comparisons", "pairs", "A", "B", "B - A", "interval", "p", "A better", "B better", "verdict"]
    head = "".join(f'<th scope="col">{name}</th>' for name in names[:-1])
    head += f'<th class="left" scope="col">{names[-1]}</th>'
    rows = ""
    for name, one in [("all", found), *found.by_group.items()]:
        cells = [
            f"{one.num_comparisons:,}", f"{one.num_pairs:,}", f"{one.a_accuracy:.3f}", f"{one.b_accuracy:.3f}",
            f"{one.difference:+.3f}", f"{one.interval.low:+.3f} to {one.interval.high:+.3f}",
            "< 0.001" if one.p_value < 0.001 else f"{one.p_value:.3f}", f"{one.a_better:,}", f"{one.b_better:,}",
        ]  # fmt: skip
        shown = "".join(f"<td>{cell}</td>" for cell in cells)
        rows += (
            f'<tr><th scope="row">{escape(name)}</th>{shown}<td class="left">{escape(verdict(found, one))}</td></tr>\n'
        )
    return (
        '<section class="wide"><h2>By source and modality</h2><div class="scroll"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table></div></section>"
    )


def _items(title: str, items: Sequence[ItemDifference]) -> str:
    if not items:
        return ""
    head = "".join(
        f'<th scope="col">{name}</th>' for name in ("", "source", "pairs", "A right", "B right", "margin of A", "of B")
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(one.id)}</th><td>{escape(one.source)}</td><td>{one.num_pairs}</td>'
        f"<td>{one.a_right}</td><td>{one.b_right}</td><td>{one.a_margin:+.2f}</td><td>{one.b_margin:+.2f}</td></tr>\n"
        for one in items
    )
    return (
        f'<section class="wide"><h2>{title}</h2><p class="note">the Comparisons on which they differ most; margins in '
        f'units of each model\'s own</p><div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}'
        "</tbody></table></div></section>"
    )


def _meanings(found: PairedComparison) -> str:
    return (
        '<section class="wide"><h2>What the numbers mean</h2><p class="note">A pair is right where the response with '
        "the better label has strictly the higher reward. A Comparison is discordant where one model has more of its "
        f"pairs right. Intervals ({100 * found.confidence:g} % confidence) come from bootstrap draws of whole "
        "Comparisons, both scorings of one together. p is the chance of a difference at least as large if each "
        "Comparison could as well have come out the other way round: McNemar's exact test for pairs. A difference is "
        "called one where both agree. Among twenty groups without any difference one looks like it by chance.</p>"
        "</section>"
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _round(count: int) -> int:
    """Two digits that matter: it is an estimate."""
    digits = max(0, len(str(count)) - 2)
    return int(round(count / 10**digits) * 10**digits)
