"""May a candidate take the champion's place? Rules over the same judged Comparisons, each with its number.

    candidate, champion: rewards of the same Comparisons, and a temperature each
      -> compare_paired, calibrate -> Check, one a rule -> Decision

Nothing here looks at a store or a clock: the same rewards give the same decision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rm_core.ensembles.config import GateConfig
from rm_core.ensembles.fit import calibrate
from rm_core.ensembles.suites import SuiteStanding
from rm_core.evaluation.intervals import Interval
from rm_core.evaluation.metrics import evaluate
from rm_core.evaluation.paired import PairedComparison, PairedGroup, compare_paired
from rm_core.evaluation.pairs import pair_table
from rm_core.scoring.scored import ScoredComparison

__all__ = ["AgainstMember", "Check", "Decision", "Standing", "decide"]


@dataclass(frozen=True, kw_only=True)
class AgainstMember:
    """An ensemble against one of its members, on the judged Comparisons that the member reads."""

    difference: float
    """Pair accuracy of the ensemble less that of the member."""
    low: float
    high: float
    num_comparisons: int
    num_groups: int

    @classmethod
    def of(cls, found: PairedGroup) -> "AgainstMember":
        """The same of a comparison with the member as A and the ensemble as B."""
        return cls(
            difference=found.difference, low=found.interval.low, high=found.interval.high,
            num_comparisons=found.num_comparisons, num_groups=found.num_groups,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One model on the judged Comparisons."""

    scored: Sequence[ScoredComparison]
    temperature: float
    """Margins divided by it are log-odds."""
    members: Mapping[str, AgainstMember] = field(default_factory=dict)
    """By name, the members of an ensemble that was judged against them."""
    suites: Mapping[str, SuiteStanding] = field(default_factory=dict)
    """By name, the published benchmarks that it was measured on."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One rule and what it found."""

    rule: str
    """enough, better, group/NAME, calibration, suite/NAME or suite_loss/NAME."""
    passed: bool
    value: float
    """The number that was compared."""
    bound: float
    """What it was compared with."""
    text: str
    """Both in words."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the gate says."""

    checks: tuple[Check, ...]
    comparison: PairedComparison | None
    """Candidate less champion; None where there is no champion."""
    notes: dict[str, str]
    """What refuses nothing and has to be known, in words: ``length``, how the candidate does against the rule that the
    longer answer wins; ``member/NAME``, a member that is better than the candidate."""

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def refusals(self) -> tuple[str, ...]:
        """Every rule that failed, in words."""
        return tuple(check.text for check in self.checks if not check.passed)

    def to_json(self) -> dict[str, Any]:
        """As dicts, lists and numbers."""
        fields = asdict(self)
        for check in fields["checks"]:
            check["told"] = check.pop("text")  # the key of files that are there already
        return {"passed": self.passed} | fields


def decide(candidate: Standing, champion: Standing | None, config: GateConfig, *, seed: int = 0) -> Decision:
    """Ask every rule, also behind one that failed.

    Args:
        champion: None where there is none yet; then only the number of Comparisons and the least of each suite
            count. That the candidate is worse than a member, or than the longer answer, stands in the notes.
        seed: of the bootstrap.

    Raises:
        UserError: the two have not scored the same Comparisons with the same labels, or one has no group.
        RunError: no pair of labels differs.
    """
    enough, notes = _enough(candidate, config), _notes(candidate, config, seed)
    suites = _suites(candidate, champion, config)
    if champion is None:
        return Decision(checks=(enough, *suites), comparison=None, notes=notes)
    found = compare_paired(
        champion.scored, candidate.scored,
        confidence=config.confidence, bootstrap_samples=config.bootstrap_samples, seed=seed,
    )  # fmt: skip
    checks = (enough, _better(found, config), *_groups(found, config), _calibration(candidate, champion, config))
    return Decision(checks=(*checks, *suites), comparison=found, notes=notes)


def _enough(candidate: Standing, config: GateConfig) -> Check:
    """Comparisons with an ordered pair; the others decide nothing."""
    ordered = [one for one in candidate.scored if len(set(one.ranks)) > 1]
    count, num_groups = len(ordered), len({one.group for one in ordered})
    return Check(
        rule="enough",
        passed=count >= config.min_comparisons,
        value=count,
        bound=config.min_comparisons,
        text=f"{count:,} judged Comparisons with an order in {num_groups:,} groups, {config.min_comparisons:,} are "
        "asked for",
    )


def _better(found: PairedComparison, config: GateConfig) -> Check:
    highest = 1 - config.confidence
    gain = f"{100 * found.difference:+.2f} points of accuracy"
    between = _points(found.interval)
    return Check(
        rule="better",
        passed=found.interval.low > config.min_gain and found.p_value <= highest,
        value=found.interval.low,
        bound=config.min_gain,
        text=f"{gain} against the champion ({between}, p = {found.p_value:.3g}, {found.num_groups:,} groups); "
        "the interval has to lie above "
        f"{100 * config.min_gain:+.2f}, and p may be {highest:.3g}",
    )


def _groups(found: PairedComparison, config: GateConfig) -> list[Check]:
    """One for each source and modality that is large enough."""
    return [
        Check(
            rule=f"group/{name}",
            passed=group.difference >= -config.max_group_loss,
            value=group.difference,
            bound=-config.max_group_loss,
            text=f"{name}: {100 * group.difference:+.2f} points of accuracy on {group.num_comparisons:,} Comparisons "
            f"in {group.num_groups:,} groups, {-100 * config.max_group_loss:+.2f} are allowed",
        )
        for name, group in found.by_group.items()
        if group.num_comparisons >= config.min_group_comparisons
    ]


def _calibration(candidate: Standing, champion: Standing, config: GateConfig) -> Check:
    ours, theirs = _error(candidate), _error(champion)
    return Check(
        rule="calibration",
        passed=ours - theirs <= config.max_calibration_loss,
        value=ours - theirs,
        bound=config.max_calibration_loss,
        text=f"calibration error {ours:.4f}, the champion's is {theirs:.4f}; it may be {config.max_calibration_loss:g} "
        "higher",
    )


def _suites(candidate: Standing, champion: Standing | None, config: GateConfig) -> list[Check]:
    """The least that is asked for of each suite, and what may be lost of it where both were measured on its rows."""
    checks = [_least(name, least, candidate.suites.get(name)) for name, least in config.suites.items()]
    for name, theirs in ({} if champion is None else champion.suites).items():
        ours = candidate.suites.get(name)
        if ours is None or ours.files != theirs.files:
            continue
        gain, bound = ours.value - theirs.value, -config.max_suite_loss
        text = (
            f"{name}: {ours.number} {ours.value:.3f}, the champion's is {theirs.value:.3f}, on {ours.num_rows:,} rows; "
            f"{bound:+.3f} is allowed"
        )
        checks.append(Check(rule=f"suite_loss/{name}", passed=gain >= bound, value=gain, bound=bound, text=text))
    return checks


def _least(name: str, least: float, found: SuiteStanding | None) -> Check:
    if found is None:
        text = (
            f"{name}: not measured, {least:.3f} is asked for; name it in ensemble.suites and run `basereward ensemble`"
        )
        return Check(rule=f"suite/{name}", passed=False, value=0.0, bound=least, text=text)
    return Check(
        rule=f"suite/{name}", passed=found.value >= least, value=found.value, bound=least,
        text=f"{name}: {found.number} {found.value:.3f} on {found.num_rows:,} rows, {least:.3f} is asked for",
    )  # fmt: skip


def _notes(candidate: Standing, config: GateConfig, seed: int) -> dict[str, str]:
    """What refuses nothing: the longer answer, and members that are better than the candidate."""
    report = evaluate(
        candidate.scored, confidence=config.confidence, bootstrap_samples=config.bootstrap_samples, seed=seed
    ).overall
    over, on = report.over_length, report.accuracy
    notes = {
        "length": f"{'WORSE: ' if over.value < 0 else ''}{100 * over.value:+.2f} points ({_points(over.interval)}) "
        f"over the rule that the longer answer wins, which has {report.length_only.value:.3f}, on "
        f"{on.num_comparisons:,} Comparisons in {on.num_groups:,} groups"
    }
    for name, one in candidate.members.items():
        if one.difference < 0:
            between = f"{100 * one.low:+.2f} to {100 * one.high:+.2f}"
            notes[f"member/{name}"] = (
                f"WORSE: {100 * one.difference:+.2f} points ({between}) over its member {name} on "
                f"{one.num_comparisons:,} Comparisons in {one.num_groups:,} groups"
            )
    return notes


def _points(ends: Interval) -> str:
    return f"{100 * ends.low:+.2f} to {100 * ends.high:+.2f}"


def _error(standing: Standing) -> float:
    return calibrate(pair_table(standing.scored).margin, standing.temperature).error
