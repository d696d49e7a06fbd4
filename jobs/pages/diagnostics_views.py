"""Diagnostics as people read them: a warning for each shortcut that explains a score, and tables of what was asked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jobs.pages.formats import Row, interval, percent, signed, signed_ends
from rm_core.evaluation.diagnostics.diagnose import Diagnostics
from rm_core.evaluation.diagnostics.probes import ProbeCheck
from rm_core.evaluation.diagnostics.rules import RuleCheck
from rm_core.evaluation.names import PICTURE_PROBES
from rm_core.evaluation.results import Share

__all__ = ["DiagnosticsView", "diagnostics_view", "warnings_of"]

_PROBES = {
    "blank_images": "grey pictures",
    "shuffled_images": "pictures of another item",
    "noise_images": "pictures of noise",
    "markdown_stripped": "answers without Markdown",
    "trailing_spaces": "answers with spaces at their end",
    "polite_sentence": "answers with a polite sentence",
    "irrelevant_sentence": "prompts with an irrelevant sentence",
    "reversed_answers": "answers in the other order",
}
_REASONS = {
    "no_picture": "without a picture",
    "no_other_picture": "near no other picture",
    "cut": "cut to fit the token limit",
    "too_long": "too long with it",
    "empty_response": "with an answer of which nothing is left",
    "not_finite": "whose rewards are no numbers",
}
_RULES = ("", "pairs", "the rule is right", "the model does so", "model, rule right", "model, rule wrong")
_GAPS = ("lengths differ by", "pairs", "accuracy", "interval", "longer wins")
_CHANGES = (
    "", "Comparisons", "accuracy", "with the change", "loss, points", "interval", "other choice", "reward changes by",
    "only worse changed", "only better changed",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DiagnosticsView:
    """All tables of one evaluation's diagnostics."""

    rule_columns: Sequence[str]
    rules: Sequence[Row]
    order: str
    """What is known of the order in which the data have the answers."""
    gap_columns: Sequence[str]
    gaps: Sequence[Row]
    probe_columns: Sequence[str]
    probes: Sequence[Row]
    left_out: str
    """Which Comparisons a change was not made to, and why."""
    num_tests: int
    """Questions that could have led to a warning."""


def diagnostics_view(found: Diagnostics) -> DiagnosticsView:
    """The tables."""
    rules = {"the longer answer": found.longer, "the first answer": found.first}
    return DiagnosticsView(
        rule_columns=_RULES,
        rules=[_rule(name, check) for name, check in rules.items() if check is not None],
        order=_order(found),
        gap_columns=_GAPS,
        gaps=[
            Row(
                name=f"{percent(one.low)} to {percent(one.high)}",
                cells=[f"{one.num_pairs:,}", percent(one.accuracy.value), interval(one.accuracy.interval),
                       percent(one.longer_wins.value)],
            )
            for one in found.by_length_gap
        ],
        probe_columns=_CHANGES,
        probes=[_probe(check) for check in found.probes.values()],
        left_out=_left_out(found),
        num_tests=found.num_tests,
    )  # fmt: skip


def warnings_of(found: Diagnostics) -> list[str]:
    """A sentence for each shortcut that explains the score, one for all changes of pictures."""
    pictures = [name for name in found.shortcuts if name in PICTURE_PROBES]
    said = [_pictures(pictures, found)] if pictures else []
    return [_warning(name, found) for name in found.shortcuts if name not in pictures] + said


def _pictures(names: Sequence[str], found: Diagnostics) -> str:
    probes = [found.probes[name] for name in names]
    after = ", ".join(f"with {_PROBES[probe.name]} it is {_told(probe.after)}" for probe in probes)
    return (
        f"Pictures play little part in this score: {after}, with their own {_told(probes[0].before)}. More than half "
        "of what it has over chance needs no picture."
    )


def _warning(name: str, found: Diagnostics) -> str:
    for what, rule, pair in (
        ("Length", found.longer, ("longer", "shorter")),
        ("Place", found.first, ("first", "last")),
    ):
        if name in pair:
            assert rule is not None
            [other] = set(pair) - {name}
            against = rule.where_wrong if name == pair[0] else rule.where_right
            return (
                f"{what} explains this score: where the {other} answer is the better one, the model still takes the "
                f"{name} one and is right in {_told(against)} of the pairs."
            )
    probe = found.probes[name]
    return (
        f"Form explains this score, {_PROBES[name]}: where only the worse answer of a pair is changed, the model is "
        f"right in {_told(probe.only_worse)} of the pairs, and where only the better one is, in "
        f"{_told(probe.only_better)}; where both are, in {_told(probe.after)}."
    )


def _told(share: Share | None) -> str:
    return "none" if share is None else f"{percent(share.value)} ({interval(share.interval)})"


def _order(found: Diagnostics) -> str:
    if found.first_is_better is None:
        return ""
    said = (
        f"The answer that the data have first is the better one in {percent(found.first_is_better.value)} of all pairs."
    )
    if found.first is None:
        return (
            f"{said} No source has both orders, so place and label can't be told apart here: ask for reversed_answers."
        )
    if found.is_reversed:
        return f"{said} Every pair was read in both orders."
    return f"{said} Pairs count for the rule where a source has both orders."


def _rule(name: str, check: RuleCheck) -> Row:
    cells = [f"{check.num_pairs:,}"]
    cells += [_cell(share) for share in (check.accuracy, check.followed, check.where_right, check.where_wrong)]
    return Row(name=name, cells=cells)


def _probe(check: ProbeCheck) -> Row:
    ends = replace(check.loss.interval, low=100 * check.loss.interval.low, high=100 * check.loss.interval.high)
    return Row(
        name=_PROBES[check.name],
        cells=[
            f"{check.num_comparisons:,}",
            percent(check.before.value),
            percent(check.after.value),
            _signed(100 * check.loss.value, 1),
            signed_ends(ends, 1),
            percent(check.switched),
            _signed(check.mean_change, 2) if check.num_changed else "nothing to change",
            "" if check.only_worse is None else percent(check.only_worse.value),
            "" if check.only_better is None else percent(check.only_better.value),
        ],
    )


def _left_out(found: Diagnostics) -> str:
    parts: dict[str, list[str]] = {}
    for name, check in found.probes.items():
        reasons = ", ".join(f"{count:,} {_REASONS.get(reason, reason)}" for reason, count in check.left_out.items())
        if reasons:
            parts.setdefault(reasons, []).append(_PROBES[name])
    return "; ".join(f"{reasons} ({', '.join(names)})" for reasons, names in parts.items())


def _signed(value: float, digits: int) -> str:
    """Without a sign in front of what rounds to 0."""
    return signed(round(value, digits) + 0.0, digits)


def _cell(share: Share | None) -> str:
    return "" if share is None else f"{percent(share.value)} ({interval(share.interval)})"
