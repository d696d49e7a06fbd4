"""All diagnostics of one evaluation, and the shortcuts that explain its score.

A shortcut explains a score

    length, position   where the model is right in clearly less than half of the pairs in which the rule ("the longer
                       one", "the first one", or their opposites) is wrong: it follows the rule against the label
    images, format     as `probes.is_shortcut` says

"Clearly" is an interval that does not hold the threshold. All questions of a report together are asked at its
confidence: each of m questions at 1 - (1 - confidence) / m (C. E. Bonferroni, 1936), so that a model without a shortcut
is called to have one in at most (1 - confidence) / 2 of the reports. Few pairs say nothing: then nothing is called so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rm_core.evaluation.diagnostics.probes import ProbeCheck, Probed, check_probe, num_tests
from rm_core.evaluation.diagnostics.rules import (
    Choices,
    GapBin,
    RuleCheck,
    by_length_gap,
    check_rule,
    is_below_chance,
    length_choices,
    position_choices,
    share_of,
)
from rm_core.evaluation.intervals import Resampling
from rm_core.evaluation.names import FORMAT_PROBES, PICTURE_PROBES
from rm_core.evaluation.pairs import pair_table
from rm_core.evaluation.results import Share
from rm_core.scoring.scored import ScoredComparison

__all__ = ["Diagnostics", "diagnose"]

_BLANK = "blank_images"
_REVERSED = "reversed_answers"


@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """What an evaluation's score may rest on."""

    longer: RuleCheck | None
    """The rule "the longer one"; None where all lengths of pairs are equal."""
    by_length_gap: tuple[GapBin, ...]
    """Accuracy by how far two lengths are from each other, nearest first."""
    first_is_better: Share | None
    """How often the response that the data have first is the better one; None without an ordered pair."""
    first: RuleCheck | None
    """The rule "the first one", where place and label can be told apart; None where nowhere."""
    is_reversed: bool
    """Whether `first` is of answers that were read in both orders, not of the orders that the data happen to have."""
    probes: dict[str, ProbeCheck]
    """By name, those that were asked for and could be made."""
    shortcuts: tuple[str, ...]
    """Those that explain the score: longer, shorter, first, last, or a probe's name."""
    num_tests: int
    """Questions of which each could have found a shortcut."""

    def numbers(self) -> dict[str, float]:
        """Accuracies after each probe, under flat names for a tracker."""
        names = {name: name for name in self.probes} | {_BLANK: "blank_image"}  # as a report calls it
        return {f"{names[name]}_accuracy": probe.after.value for name, probe in self.probes.items()}


def diagnose(
    scored: Sequence[ScoredComparison], probed: Mapping[str, Sequence[Probed]], resampling: Resampling
) -> Diagnostics:
    """Diagnose `scored`, which holds an ordered pair; its order, and that of responses, is that of the data.

    Args:
        probed: probe -> rewards of the same Comparisons in the same order; blank images that were scored with
            everything else are taken from there.

    Raises:
        UserError: a Comparison has no group.
    """
    probed = _with_blank(scored, probed)
    turned = [one.rewards for one in probed[_REVERSED]] if _REVERSED in probed else None
    table = pair_table(scored)
    lengths = length_choices(table)
    everywhere, told = position_choices(scored, turned)
    count = (2 + 2 * (len(told.rule) > 0)) + sum(map(num_tests, probed))
    verdict = replace(resampling, confidence=1 - (1 - resampling.confidence) / count)
    checks = {name: check_probe(name, scored, found, resampling, verdict) for name, found in probed.items()}
    probes = {name: check for name, check in checks.items() if check is not None}
    names = [*_followed(lengths, ("longer", "shorter"), verdict), *_followed(told, ("first", "last"), verdict)]
    names += [name for name in (*PICTURE_PROBES, *FORMAT_PROBES) if name in probes and probes[name].is_shortcut]
    return Diagnostics(
        longer=check_rule(lengths, resampling),
        by_length_gap=by_length_gap(table, resampling),
        first_is_better=share_of(everywhere.rule, everywhere.groups, resampling) if len(everywhere.rule) else None,
        first=check_rule(told, resampling),
        is_reversed=turned is not None,
        probes=probes,
        shortcuts=tuple(names),
        num_tests=count,
    )


def _followed(choices: Choices, names: tuple[str, str], verdict: Resampling) -> list[str]:
    """The rule, or its opposite, that the model follows against the label."""
    found = [names[0]] if is_below_chance(choices.where(0.0), verdict) else []
    return found + ([names[1]] if is_below_chance(choices.where(1.0), verdict) else [])


def _with_blank(
    scored: Sequence[ScoredComparison], probed: Mapping[str, Sequence[Probed]]
) -> dict[str, Sequence[Probed]]:
    if _BLANK in probed or all(one.blank_rewards is None for one in scored):
        return dict(probed)
    blank = [Probed(one.blank_rewards, "" if one.blank_rewards else "no_picture: text only") for one in scored]
    return {_BLANK: blank, **probed}
