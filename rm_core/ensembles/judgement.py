"""How good a fitted ensemble is on Comparisons that it was not fitted on, beside each member and each other rule."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from data_pipeline.errors import RunError
from rm_core.ensembles.ensemble import RULES, Ensemble
from rm_core.ensembles.fit import (
    Calibration,
    RiskCoverage,
    best_temperature,
    calibrate,
    fit,
    pair_spread,
    risk_coverage,
)
from rm_core.ensembles.table import ScoreTable
from rm_core.evaluation.curves import CalibrationBin, calibration
from rm_core.evaluation.intervals import Resampling
from rm_core.evaluation.metrics import evaluate
from rm_core.evaluation.paired import PairedComparison, compare_paired
from rm_core.evaluation.results import EvaluationReport
from rm_core.scoring.scored import ScoredComparison

__all__ = ["Judged", "Judgement", "judge", "rewards_of", "scored_by"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One model on the judged Comparisons that it reads."""

    report: EvaluationReport
    before: Calibration
    """At temperature 1."""
    after: Calibration
    """At the temperature that was fitted for it."""
    bins_after: tuple[CalibrationBin, ...]
    """Predicted against observed accuracy at that temperature; at 1 they are in `report`."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The ensemble, its members, what the other rules would give, and what its doubt is worth."""

    ensemble: Judged
    members: dict[str, Judged]
    against: dict[str, PairedComparison]
    """The ensemble (as B) less each member (as A), on the judged Comparisons that the member reads."""
    rules: dict[str, EvaluationReport]
    """The same members under each rule."""
    no_rules: dict[str, str]
    """Rules that these members can't be put together by, and why."""
    by_spread: RiskCoverage
    """Pairs on which members are far apart go first."""
    by_margin: RiskCoverage
    """Pairs of small margin go first."""

    def to_json(self) -> dict[str, Any]:
        """As dicts, lists and numbers."""
        return asdict(self)

    def numbers(self) -> dict[str, float]:
        """The main numbers under flat names for a tracker: accuracy, brier, member/NAME/accuracy, ..."""
        found = self.ensemble.report.numbers()
        del found["calibration_error"]  # that of margins as they are; the two below say which is meant
        for name, value in (("before", self.ensemble.before), ("after", self.ensemble.after)):
            found |= {f"calibration_error_{name}": value.error, f"brier_{name}": value.brier}
            found |= {f"log_loss_{name}": value.log_loss}
        found |= {"temperature": self.ensemble.after.temperature}
        found |= {"risk_area_by_spread": self.by_spread.area, "risk_area_by_margin": self.by_margin.area}
        for name, one in self.members.items():
            found[f"member/{name}/accuracy"] = one.report.overall.accuracy.value
            found[f"member/{name}/ensemble_gain"] = self.against[name].difference
        return found


def judge(
    ensemble: Ensemble, fitted_on: ScoreTable, table: ScoreTable, *,
    members: Sequence[str], text_only: AbstractSet[str], resampling: Resampling,
) -> Judgement:  # fmt: skip
    """Measure an ensemble on `table`.

    Args:
        ensemble: fitted on `fitted_on`; its members are among the table's.
        table: other Comparisons, scored by the same models.
        members: names of the models that were put together; those of `ensemble`, unless it is one averaged model.
        text_only: those of them that see no images.
        resampling: of the intervals.

    Raises:
        RunError: no pair of labels differs, or a member reads none of the Comparisons.
    """
    combined = ensemble.combine(rewards_of(table, ensemble))
    margins = table.margins(combined.rewards)
    parts, fitted_parts = table.only(members), fitted_on.only(members)
    by_rule, no_rules = _other_rules(ensemble, fitted_parts, parts, text_only, resampling)
    return Judgement(
        ensemble=_judged(_report(table, combined.rewards, resampling), margins, ensemble.temperature),
        members={name: _member(name, fitted_parts, parts, resampling) for name in members},
        against={name: _against(name, parts, scored_by(table, combined.rewards), resampling) for name in members},
        rules=by_rule,
        no_rules=no_rules,
        by_spread=risk_coverage(margins, pair_spread(parts.margins(_on_one_scale(fitted_parts, parts)))),
        by_margin=risk_coverage(margins, -np.abs(margins)),
    )


def rewards_of(table: ScoreTable, ensemble: Ensemble) -> Mapping[str, Floats]:
    """What each member of `ensemble` gave: name -> [R]."""
    return {one.name: table.rewards[table.members.index(one.name)] for one in ensemble.members}


def scored_by(table: ScoreTable, rewards: Floats) -> list[ScoredComparison]:
    """The Comparisons with `rewards` [R], without those where they are NaN."""
    read = ~np.isnan(rewards)
    whole = table.scored(np.where(read, rewards, 0.0))
    first = np.unique(table.comparison, return_index=True)[1]
    return [one for one, is_read in zip(whole, read[first], strict=True) if is_read]


def _report(table: ScoreTable, rewards: Floats, resampling: Resampling) -> EvaluationReport:
    return evaluate(
        scored_by(table, rewards), confidence=resampling.confidence,
        bootstrap_samples=resampling.samples, seed=resampling.seed,
    )  # fmt: skip


def _member(name: str, fitted_on: ScoreTable, table: ScoreTable, resampling: Resampling) -> Judged:
    index = table.members.index(name)
    margins, fit_margins = (one[~np.isnan(one)] for one in _margins(index, table, fitted_on))
    if not len(margins):
        raise RunError(
            f"member {name!r} reads no judged pair: raise ensemble.judge_share, name more data, or leave it out"
        )
    return _judged(_report(table, table.rewards[index], resampling), margins, best_temperature(fit_margins))


def _against(
    name: str, table: ScoreTable, by_ensemble: Sequence[ScoredComparison], resampling: Resampling
) -> PairedComparison:
    own = scored_by(table, table.rewards[table.members.index(name)])
    read = {(one.source, one.id) for one in own}
    return compare_paired(
        own, [one for one in by_ensemble if (one.source, one.id) in read],
        confidence=resampling.confidence, bootstrap_samples=resampling.samples, seed=resampling.seed,
    )  # fmt: skip


def _judged(report: EvaluationReport, margins: Floats, temperature: float) -> Judged:
    return Judged(
        report=report,
        before=calibrate(margins, 1.0),
        after=calibrate(margins, temperature),
        bins_after=calibration(margins / temperature),
    )


def _margins(index: int, *tables: ScoreTable) -> list[Floats]:
    return [table.margins(table.rewards[index]) for table in tables]


def _on_one_scale(fitted_on: ScoreTable, table: ScoreTable) -> Floats:
    """[M, R] rewards of `table`, each member divided by its spread in the other."""
    return np.asarray(table.rewards / np.nanstd(fitted_on.rewards, axis=1, keepdims=True))


def _other_rules(
    ensemble: Ensemble, fitted_on: ScoreTable, table: ScoreTable, text_only: AbstractSet[str], resampling: Resampling
) -> tuple[dict[str, EvaluationReport], dict[str, str]]:
    """What each rule makes of the members, and the rules that refuse them."""
    found: dict[str, EvaluationReport] = {}
    refused: dict[str, str] = {}
    for rule in RULES:
        try:
            other = fit(fitted_on, rule, text_only=text_only, penalty=ensemble.penalty)
        except RunError as error:
            refused[rule] = str(error)
        else:
            found[rule] = _report(table, other.combine(rewards_of(table, other)).rewards, resampling)
    return found, refused
