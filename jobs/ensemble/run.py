"""Combine models: collect rewards, fit on one part, judge on the other, and write the ensemble."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from data_pipeline.storage import delete_folder, join
from jobs.ensemble.members import FoundMember
from jobs.ensemble.parts import Parts, divide
from jobs.ensemble.prepare import EnsembleTask
from jobs.ensemble.scores import score_members
from jobs.ensemble.suites import MeasuredSuite, measure_ensemble, write_suites
from jobs.registry.pyfunc_model import add_served_files
from rm_core.ensembles.averaging import average_weights
from rm_core.ensembles.config import AVERAGE
from rm_core.ensembles.ensemble import Ensemble, Rule
from rm_core.ensembles.fit import fit
from rm_core.ensembles.gate import AgainstMember
from rm_core.ensembles.judgement import Judgement, judge, rewards_of, scored_by
from rm_core.ensembles.table import ScoreTable, score_table
from rm_core.evaluation.intervals import Resampling
from rm_core.model_folder.folder import marker_sha256
from rm_core.model_folder.remote import MARKER, draft_of, local_model
from rm_core.scoring.scored_file import write_scored
from rm_core.serving.served_model import HERE, ServedModel

__all__ = ["JUDGED_FILE", "Fitted", "put_together", "write_model"]

JUDGED_FILE = "judged.parquet"
"""Rewards of the ensemble for the judged Comparisons, beside ``ensemble.json``: what the gate compares."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What came of the members' rewards.

    Attributes:
        parts: Comparisons that all members have, and which of them judge.
        served_by: the models whose rewards are combined: the members, or the one with their averaged weights.
        suites: published benchmarks that the result was measured on.
    """

    parts: Parts
    served_by: Sequence[FoundMember]
    ensemble: Ensemble
    fitted_on: ScoreTable
    judged_on: ScoreTable
    judgement: Judgement
    suites: Sequence[MeasuredSuite] = ()


def put_together(task: EnsembleTask) -> Fitted:
    """Score held-out Comparisons by every member, fit on one part of the rewards, judge on the other.

    Raises:
        RunError: the members can't be put together, or a scoring process died.
    """
    recipe, registry = task.recipe, task.registry
    parts, scored = score_members(recipe, task.members, divide(recipe.ensemble, task.data), registry)
    served_by = task.members
    if recipe.ensemble.rule == AVERAGE:
        served_by = [averaged(task)]
        scored |= score_members(recipe, served_by, parts, registry)[1]
    fitted = fit_and_judge(task, served_by, parts, scored)
    return replace(fitted, suites=measure_ensemble(recipe, served_by, fitted.ensemble, task.suites))


def averaged(task: EnsembleTask) -> FoundMember:
    """One model with the average of the members' weights, in the output folder."""
    recipe, members = task.recipe, task.members
    given = join(recipe.ensemble.output, AVERAGE)
    delete_folder(given, first=MARKER)
    with draft_of(given) as draft:
        average_weights(
            [member.folder for member in members],
            [member.share for member in members],
            draft,
            lineage={"recipe": recipe.name, "data_fingerprint": task.data.manifest.fingerprint},
        )
    folder, first = local_model(given), members[0].served
    served = replace(
        first, name=AVERAGE, model=HERE, sha256=marker_sha256(folder), text_only=all_text_only(members), lineage={}
    )
    return FoundMember(served=served, folder=folder, given=given, data=task.data, share=1.0)


def all_text_only(members: Sequence[FoundMember]) -> bool:
    """Whether no member sees images."""
    return all(member.served.text_only for member in members)


def fit_and_judge(task: EnsembleTask, served_by: Sequence[FoundMember], parts: Parts, scored: dict[str, Any]) -> Fitted:
    """Fit on one part of the rewards, judge on the other.

    Args:
        served_by: the models whose rewards are combined: the members, or the one with their averaged weights.
    """
    config, members = task.recipe.ensemble, task.members
    text_only = {member.served.name for member in (*members, *served_by) if member.served.text_only}
    fitted_on, judged_on = (score_table(part, text_only) for part in parts.split(scored))
    own = fitted_on.only([member.served.name for member in served_by])
    rule = "mean" if config.rule == AVERAGE else config.rule
    ensemble = fit(own, cast(Rule, rule), text_only=text_only, penalty=config.penalty, standardise=config.standardise)
    if config.temperature is not None:
        ensemble = replace(ensemble, temperature=config.temperature)
    resampling = Resampling(confidence=config.confidence, samples=config.bootstrap_samples, seed=config.seed)
    names = [member.served.name for member in members]
    judgement = judge(ensemble, fitted_on, judged_on, members=names, text_only=text_only, resampling=resampling)
    return Fitted(
        parts=parts, served_by=served_by, ensemble=ensemble, fitted_on=fitted_on, judged_on=judged_on,
        judgement=judgement,
    )  # fmt: skip


def write_model(task: EnsembleTask, fitted: Fitted, folder: str) -> None:
    """What is registered: numbers and addresses of the members; of averaged weights, the weights too.

    Args:
        folder: a local one, replaced as a whole.
    """
    config, served_by = task.recipe.ensemble, fitted.served_by
    shutil.rmtree(folder, ignore_errors=True)
    if config.rule == AVERAGE:
        shutil.copytree(served_by[0].folder, folder)
    served = ServedModel(
        members=tuple(member.served for member in served_by),
        ensemble=fitted.ensemble,
        token_budget=config.token_budget,
        patch_budget=config.patch_budget,
        fitted={
            "rule": config.rule,
            "data_fingerprint": task.data.manifest.fingerprint,
            "split": config.split,
            "judge_share": config.judge_share,
            "seed": config.seed,
            "num_fitted": len(fitted.fitted_on.labels),
            "num_judged": len(fitted.judged_on.labels),
            "against_members": {
                name: asdict(AgainstMember.of(found)) for name, found in fitted.judgement.against.items()
            },
            "of": [member.served.to_json() | {"share": member.share} for member in task.members],
        },
    )
    add_served_files(folder, served)
    combined = fitted.ensemble.combine(rewards_of(fitted.judged_on, fitted.ensemble))
    write_scored(join(folder, JUDGED_FILE), scored_by(fitted.judged_on, combined.rewards))
    write_suites(folder, fitted.suites)
