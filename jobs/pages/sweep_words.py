"""What an analysis says, in words and cells: for the page, the terminal and the run's description."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.pages.formats import count, p_value, score, signed, signed_ends
from rm_core.evaluation.paired import PairedComparison
from rm_core.evaluation.results import Gain
from rm_core.scaling.analysis import Analysis, Fit
from rm_core.scaling.power_law import Estimate, NoFit, PowerLaw
from rm_core.scaling.seeds import Place, SeedMean

__all__ = [
    "LawView",
    "OverLength",
    "estimate",
    "headline",
    "law_rows",
    "law_words",
    "length_cells",
    "length_words",
    "mean_words",
    "noise_words",
]

Items = Mapping[str, PairedComparison]
"""Label -> the best label's models against its own, on the same held-out Comparisons."""


@dataclass(frozen=True, kw_only=True)
class OverLength:
    """The models of one label against the rule that the longer answer wins, over all seeds."""

    length_only: float
    """Pair accuracy of the rule."""
    gain: Gain
    """Pair accuracy of the models less that of the rule."""
    num_comparisons: int
    num_groups: int
    """Of the Comparisons, groups that share no image and no text-only prompt."""


def length_cells(one: OverLength | None) -> list[str]:
    """What the models have over the rule, and the interval of it; empty where their rewards are not there."""
    return ["", ""] if one is None else [signed(one.gain.value, 4), signed_ends(one.gain.interval, 4)]


def length_words(lengths: Mapping[str, OverLength]) -> str:
    """One or two sentences: what the rule reaches, and which labels lie below it; empty where nothing is known."""
    if not lengths:
        return ""
    reached = sorted({(one.length_only, one.num_comparisons, one.num_groups) for one in lengths.values()})
    rule = " or ".join(
        f"{score(value)} on {comparisons:,} Comparisons in {groups:,} groups" for value, comparisons, groups in reached
    )
    below = [label for label, one in lengths.items() if one.gain.value < 0]
    worse = f"below it: {', '.join(below)}" if below else "none is below it"
    return f"The rule that the longer answer wins has {rule}; of {len(lengths)} points {worse}."


def estimate(one: Estimate, digits: int = 3) -> str:
    """Value and interval: 0.21 (0.18 to 0.24)."""
    return f"{one.value:.{digits}g} ({one.low:.{digits}g} to {one.high:.{digits}g})"


def mean_words(mean: SeedMean) -> str:
    """The interval of a mean, or why there is none."""
    if mean.low is None or mean.high is None:
        return "one seed: unknown"
    return f"{score(mean.low)} to {score(mean.high)}"


def noise_words(place: Place, items: Items) -> str:
    """Whether being behind the best is more than noise, of seeds and of the choice of Comparisons."""
    paired = items.get(place.label)
    found = [] if place.is_clear is None else [("seeds", place.is_clear)]
    found += [] if paired is None else [("Comparisons", paired.is_clear())]
    if not found:
        return "not known: one seed each, and no rewards of the same Comparisons with their groups"
    clear = [name for name, is_clear in found if is_clear]
    if len(clear) == len(found):
        return f"more than the noise of {' and of '.join(clear)}"
    unclear = [name for name, is_clear in found if not is_clear]
    more = f", though more than that of {clear[0]}" if clear else ""
    return f"within the noise of {' and of '.join(unclear)}{more}"


def headline(analysis: Analysis, items: Items) -> str:
    """One or two sentences: which wins, by how much, and whether that is more than noise."""
    if not analysis.places:
        return "No trial has finished, so there is nothing to rank."
    best, *others = analysis.places
    name = analysis.metric.replace("_", " ")
    seeds = f"{best.mean.num_seeds} seed{'s' if best.mean.num_seeds > 1 else ''}"
    first = f"{best.label} has the best {name}: {score(best.mean.value)} ({seeds})."
    if not others:
        return f"{first} It is the only point."
    second = others[0]
    return f"{first} Next is {second.label}, {score(second.behind)} behind: {noise_words(second, items)}."


def law_words(fit: Fit) -> str:
    """What a fit says in one sentence."""
    law = fit.best
    of = f"{fit.quantity.name} against {fit.measure.name}" + (f", {fit.series.name}" if fit.series.name else "")
    if law is None:
        reasons = dict.fromkeys(one.reason for one in (fit.plain, fit.with_floor) if isinstance(one, NoFit))
        return f"{of}: no law. {next(iter(reasons))[:1].upper()}{next(iter(reasons))[1:]}."
    text = f"{of}: 10 times the {fit.measure.name} multiplies it by {_factor(law)}"
    if law.floor is not None:
        text += f", above a floor of {estimate(law.floor)}"
    if not law.is_clear:
        text += "; the interval holds no change at all"
    if law.misfit is not None and law.misfit < 1 - law.confidence:
        text += f"; the points bend in another way (p: {p_value(law.misfit)})"
    return f"{text}."


def _factor(law: PowerLaw) -> str:
    low, high = sorted(10**-end for end in (law.exponent.low, law.exponent.high))
    return f"{law.factor(10):.3g} ({low:.3g} to {high:.3g})"


@dataclass(frozen=True, kw_only=True)
class LawView:
    """One form of a law for one line of points."""

    name: str
    form: str
    is_best: bool
    """Whether it is the form with the lower criterion."""
    cells: Sequence[str]
    """Its numbers; empty where there is no law."""
    reason: str
    """Why there is none."""


def law_rows(fits: Sequence[Fit]) -> list[LawView]:
    """Both forms of the law for each line of points, or why there is none."""
    rows = []
    for fit in fits:
        name = f"{fit.quantity.name} by {fit.measure.name}" + (f", {fit.series.name}" if fit.series.name else "")
        for law, form in ((fit.plain, "a x⁻ᵇ"), (fit.with_floor, "c + a x⁻ᵇ")):
            no_law = isinstance(law, NoFit)
            cells = [] if isinstance(law, NoFit) else _law_cells(law)
            reason = law.reason if isinstance(law, NoFit) else ""
            is_best = not no_law and law is fit.best
            rows.append(LawView(name=name, form=form, is_best=is_best, cells=cells, reason=reason))
    return rows


def _law_cells(law: PowerLaw) -> list[str]:
    return [
        estimate(law.exponent),
        estimate(law.scale),
        count(law.centre),
        "none" if law.floor is None else estimate(law.floor),
        f"× {law.factor(10):.3g}",
        "" if law.misfit is None else p_value(law.misfit),
        "" if math.isinf(law.score) else f"{law.score:.1f}",
    ]
