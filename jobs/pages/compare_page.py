"""Two models compared, as a verdict in words and as one HTML page."""

from collections.abc import Sequence

from jobs.pages.environment import render
from jobs.pages.formats import Card, Row, p_value, signed, signed_ends
from jobs.pages.plots.comparison import difference_by_group
from rm_core.evaluation.matching import ItemDifference
from rm_core.evaluation.paired import PairedComparison, PairedGroup
from rm_core.evaluation.results import Gain

__all__ = ["over_length_rows", "render_comparison", "verdict"]

_GROUP_COLUMNS = (
    "",
    "Comparisons",
    "groups",
    "pairs",
    "A",
    "B",
    "B - A",
    "interval",
    "p",
    "A better",
    "B better",
    "verdict",
)
_LENGTH_COLUMNS = ("", "accuracy", "longer answer wins", "over that", "interval")
_ITEM_COLUMNS = ("", "source", "pairs", "A right", "B right", "margin of A", "of B")


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
    return render(
        "compare.html.j2",
        a=a,
        b=b,
        found=found,
        only=only,
        headline=_sentence(verdict(found)),
        cards=_cards(found),
        by_group=difference_by_group(found),
        group_columns=_GROUP_COLUMNS,
        groups=[_group_row(name, found, one) for name, one in [("all", found), *found.by_group.items()]],
        length_columns=_LENGTH_COLUMNS,
        lengths=[Row(name=name, cells=cells) for name, *cells in over_length_rows(found)],
        item_columns=_ITEM_COLUMNS,
        items={
            "A right, B wrong": [_item_row(one) for one in differences[0]],
            "B right, A wrong": [_item_row(one) for one in differences[1]],
        },
    )


def over_length_rows(found: PairedComparison) -> list[list[str]]:
    """Name, accuracy, that of the rule, the difference and its interval: of both, over everything and by part."""
    rows = []
    for part, one in [("", found), *found.by_group.items()]:
        for name, accuracy, over in (
            ("A", one.a_accuracy, one.a_over_length),
            ("B", one.b_accuracy, one.b_over_length),
        ):
            numbers = [
                f"{accuracy:.3f}",
                f"{accuracy - over.value:.3f}",
                signed(over.value),
                signed_ends(over.interval),
            ]
            rows.append([f"{name}, {part}".strip(", "), *numbers])
    return rows


def _cards(found: PairedComparison) -> list[Card]:
    discordant = found.a_better + found.b_better
    return [
        Card(name="B less A", value=signed(found.difference), note=signed_ends(found.interval), style="first"),
        _model_card("A", found.a_accuracy, found.a_over_length),
        _model_card("B", found.b_accuracy, found.b_over_length),
        Card(name="Discordant", value=f"{discordant:,}", note=f"{found.a_better:,} for A, {found.b_better:,} for B"),
        Card(name="By chance", value=p_value(found.p_value), note="p, exact test of signs"),
        Card(name="Groups", value=f"{found.num_groups:,}", note=f"of {found.num_comparisons:,} Comparisons"),
    ]


def _group_row(name: str, found: PairedComparison, one: PairedGroup) -> Row:
    cells = (
        f"{one.num_comparisons:,}",
        f"{one.num_groups:,}",
        f"{one.num_pairs:,}",
        f"{one.a_accuracy:.3f}",
        f"{one.b_accuracy:.3f}",
        signed(one.difference),
        signed_ends(one.interval),
        p_value(one.p_value),
        f"{one.a_better:,}",
        f"{one.b_better:,}",
        verdict(found, one),
    )
    return Row(name=name, cells=cells)


def _item_row(one: ItemDifference) -> Row:
    rights = (str(one.num_pairs), str(one.a_right), str(one.b_right))
    return Row(name=one.id, cells=(one.source, *rights, signed(one.a_margin, 2), signed(one.b_margin, 2)))


def _model_card(name: str, accuracy: float, over: Gain) -> Card:
    note = f"{signed(over.value)} over the longer answer ({signed_ends(over.interval)})"
    return Card(name=name, value=f"{accuracy:.3f}", note=note, style="bad" if over.value < 0 else "")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _round(count: int) -> int:
    """Two digits that matter: it is an estimate."""
    digits = max(0, len(str(count)) - 2)
    return int(round(count / 10**digits) * 10**digits)
