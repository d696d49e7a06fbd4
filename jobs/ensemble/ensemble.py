"""`basereward ensemble`: several reward models as one registered model version.

    members (folders, runs, versions) -> checked, pinned           `ensemble_members.py`
      -> rewards of held-out Comparisons, each member once          `ensemble_scores.py`
      -> fit on one part, judge on the other, report                `rm_core.ensembles`
      -> an MLflow run, one pyfunc model version, alias candidate   `served_model.py`, `model_registry.py`

The same members, data and settings again do nothing; others make a new version.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, cast

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.storage import delete_folder, join, write_atomic
from jobs.ensemble.members import FoundMember, find_members
from jobs.ensemble.mlflow_run import REPORT, Fitted, facts_of, show, track
from jobs.ensemble.parts import Parts, divide
from jobs.ensemble.scores import score_members
from jobs.pages.ensemble_report import write_ensemble_report
from jobs.preprocess.manifests import manifest_of
from jobs.recipe.schema import Recipe, with_absolute_paths
from jobs.registry.pyfunc_model import add_served_files
from jobs.registry.registry import ModelRegistry, RegisteredVersion
from jobs.runtime.terminal import say
from rm_core.ensembles.averaging import average_weights
from rm_core.ensembles.combine import Rule
from rm_core.ensembles.config import AVERAGE, check_ensemble_config
from rm_core.ensembles.fit import fit
from rm_core.ensembles.judgement import judge, rewards_of, scored_by
from rm_core.ensembles.table import score_table
from rm_core.evaluation.intervals import Resampling
from rm_core.model_folder.folder import marker_sha256
from rm_core.scoring.scored_file import write_scored
from rm_core.serving.served_model import HERE, ServedModel

__all__ = ["JUDGED_FILE", "run"]

JUDGED_FILE = "judged.parquet"
"""Rewards of the ensemble for the judged Comparisons, beside ``ensemble.json``: what the gate compares."""
_STATE = "registered.json"
_NOT_SHAPING = ("output", "gate", "confidence", "bootstrap_samples")
"""Settings that change nothing of the model."""


def run(recipe: Recipe) -> None:
    """Fit, judge, report and register `recipe.ensemble`.

    Raises:
        UserError: a setting is wrong, or a member or the data is not there.
        RunError: the members can't be put together, a scoring process died, or MLflow can't be reached.
    """
    check_ensemble_config(recipe.ensemble)
    recipe = replace(recipe, ensemble=with_absolute_paths(recipe.ensemble, "data", "output"))
    config = recipe.ensemble
    registry = ModelRegistry(recipe.tracking.uri)
    data = PreparedData.open(manifest_of(recipe, config.data))
    members = find_members(recipe, data, registry)
    identity = identity_of(recipe, data, members)
    if (known := registered(recipe, registry, identity)) is not None:
        say(f"{config.output} is finished already, as {known.address}: nothing to do")
        return
    parts, scored = score_members(recipe, members, divide(config, data), registry)
    served_by = members if config.rule != AVERAGE else [averaged(recipe, members, data)]
    if config.rule == AVERAGE:
        scored |= score_members(recipe, served_by, parts, registry)[1]
    fitted = put_together(recipe, members, served_by, parts, scored)
    folder = write_model(recipe, data, members, served_by, fitted)
    facts = facts_of(recipe, data, members, parts)
    title = f"Ensemble {config.register_as}"
    write_ensemble_report(config.output, fitted.ensemble, fitted.judgement, title=title, facts=facts)
    text = json.dumps({"title": title, "facts": facts} | fitted.judgement.to_json(), indent=2, ensure_ascii=False)
    write_atomic(join(config.output, REPORT), f"{text}\n".encode())
    version = track(recipe, data, members, fitted, folder, identity, registry)
    write_atomic(join(config.output, _STATE), json.dumps({"identity": identity, "address": version.address}).encode())
    show(recipe, fitted, version)


def identity_of(recipe: Recipe, data: PreparedData, members: Sequence[FoundMember]) -> str:
    """A hash of all that decides the model: settings, data, and the bytes of the members."""
    settings = {key: value for key, value in asdict(recipe.ensemble).items() if key not in _NOT_SHAPING}
    settings["data"] = data.manifest.fingerprint
    settings["members"] = [
        [asdict(member.served), member.data.manifest.fingerprint, member.share] for member in members
    ]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def registered(recipe: Recipe, registry: ModelRegistry, identity: str) -> RegisteredVersion | None:
    """The version that an earlier run made of the same; None where there is none, or it was deleted."""
    path = join(recipe.ensemble.output, _STATE)
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf8") as file:
        state = json.load(file)
    return registry.look_up(state["address"]) if state["identity"] == identity else None


def averaged(recipe: Recipe, members: Sequence[FoundMember], data: PreparedData) -> FoundMember:
    """One model with the average of the members' weights, in the output folder."""
    folder = join(recipe.ensemble.output, AVERAGE)
    delete_folder(folder, first="model.json")
    average_weights(
        [member.folder for member in members],
        [member.share for member in members],
        folder,
        lineage={"recipe": recipe.name, "data_fingerprint": data.manifest.fingerprint},
    )
    first = members[0].served
    served = replace(
        first, name=AVERAGE, model=HERE, sha256=marker_sha256(folder), text_only=all_text_only(members), lineage={}
    )
    return FoundMember(served=served, folder=folder, given=folder, data=data, share=1.0)


def all_text_only(members: Sequence[FoundMember]) -> bool:
    """Whether no member sees images."""
    return all(member.served.text_only for member in members)


def put_together(
    recipe: Recipe,
    members: Sequence[FoundMember],
    served_by: Sequence[FoundMember],
    parts: Parts,
    scored: dict[str, Any],
) -> Fitted:
    """Fit on one part of the rewards, judge on the other.

    Args:
        members: those of the recipe.
        served_by: the models whose rewards are combined: the members, or the one with their averaged weights.
    """
    config = recipe.ensemble
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
    return Fitted(ensemble=ensemble, fitted_on=fitted_on, judged_on=judged_on, judgement=judgement)


def write_model(
    recipe: Recipe, data: PreparedData, members: Sequence[FoundMember], served_by: Sequence[FoundMember], fitted: Fitted
) -> str:
    """The folder that is registered: numbers and addresses of the members; of averaged weights, the weights too."""
    config = recipe.ensemble
    folder = join(config.output, "model")
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
            "data_fingerprint": data.manifest.fingerprint,
            "split": config.split,
            "judge_share": config.judge_share,
            "seed": config.seed,
            "num_fitted": len(fitted.fitted_on.labels),
            "num_judged": len(fitted.judged_on.labels),
            "of": [asdict(member.served) | {"share": member.share} for member in members],
        },
    )
    add_served_files(folder, served)
    combined = fitted.ensemble.combine(rewards_of(fitted.judged_on, fitted.ensemble))
    write_scored(join(folder, JUDGED_FILE), scored_by(fitted.judged_on, combined.rewards))
    return folder
