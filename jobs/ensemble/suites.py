"""Published benchmarks scored by an ensemble: every member's rewards of all rows, put together, and measured.

ensemble.suites --prepare--> SuiteData, counts checked, before anything is scored
  -> suites/MEMBER/suites/NAME.jsonl   a member's rewards, as `evaluate` keeps them: a killed run goes on from them
  -> MeasuredSuite                     of the combined rewards
  -> suites.json, in the folder of the registered model too, where `promote` reads it
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from data_pipeline.errors import RecipeError
from data_pipeline.storage import exists, join, read_json, write_atomic
from jobs.ensemble.members import FoundMember
from jobs.evaluate.publish_suites import SUITES_FILE, document_of
from jobs.evaluate.scoring_actors import ScoringJob, ScoringPool
from jobs.evaluate.suites import finite_rows, score_suites
from jobs.recipe.schema import EvaluateConfig, Recipe
from jobs.recipe.suites import open_named
from jobs.runtime.ray_session import open_cluster
from rm_core.ensembles.ensemble import Ensemble
from rm_core.ensembles.suites import SuiteStanding, combine_given
from rm_core.evaluation.intervals import Resampling
from rm_core.evaluation.suites.files import SuiteData
from rm_core.evaluation.suites.given import GivenRewards, read_given
from rm_core.evaluation.suites.report import SuiteReport, measure
from rm_core.generation.config import CritiquesConfig, VerdictsConfig

__all__ = ["MeasuredSuite", "measure_ensemble", "open_suites", "standings", "write_suites"]


@dataclass(frozen=True, kw_only=True)
class MeasuredSuite:
    """One suite and what the ensemble has on it."""

    data: SuiteData
    report: SuiteReport


def open_suites(recipe: Recipe, members: Sequence[FoundMember]) -> list[SuiteData]:
    """The suites of `ensemble.suites`, each read and counted.

    Raises:
        RecipeError: it is not said where a suite is, or one has pictures and a member reads text alone.
        UserError: a suite is not there, or not as published.
    """
    suites = open_named(recipe.evaluate, recipe.ensemble.suites, "ensemble.suites")
    blind = next((member.served.name for member in members if member.served.text_only), None)
    for data in suites:
        if blind is not None and any(item.num_media for item in data.items):
            raise RecipeError(
                f"ensemble.suites has {data.suite.name}, which has pictures, and member {blind!r} reads text alone: "
                "leave one of them out"
            )
    return suites


def measure_ensemble(
    recipe: Recipe, members: Sequence[FoundMember], ensemble: Ensemble, suites: Sequence[SuiteData]
) -> list[MeasuredSuite]:
    """Score all rows by every member that is put together, each once, and measure what comes of it.

    Args:
        recipe: with absolute paths in `ensemble`.

    Raises:
        UserError: a picture is not there, or a member reads records otherwise than the recipe says.
        RunError: a reward is not finite, or a scoring process died; what is done is kept.
    """
    if not suites:
        return []
    given: dict[str, dict[str, list[GivenRewards]]] = {}
    with open_cluster(recipe.cluster) as cluster:
        for member in members:
            config = _config_of(recipe, member)
            job = ScoringJob(
                model=member.given,
                token_budget=config.token_budget,
                patch_budget=config.patch_budget,
                attention=config.attention,
                critiques=config.critiques,
                verdicts=config.verdicts,
            )
            with ScoringPool(job, recipe.cluster, cluster) as pool:
                urls = score_suites(replace(recipe, evaluate=config), config, suites, pool)
            given[member.served.name] = {
                data.suite.name: finite_rows(read_given(urls[data.suite.name, None], [data]), data) for data in suites
            }
    settings = recipe.ensemble
    resampling = Resampling(confidence=settings.confidence, samples=settings.bootstrap_samples, seed=settings.seed)
    measured = []
    for data in suites:
        of_members = {name: rows[data.suite.name] for name, rows in given.items()}
        report = measure(data, combine_given(ensemble, of_members), resampling)
        measured.append(MeasuredSuite(data=data, report=report))
    return measured


def _config_of(recipe: Recipe, member: FoundMember) -> EvaluateConfig:
    """How one member is asked: the suites' places are those of `evaluate`, the rest is the ensemble's."""
    config = recipe.ensemble
    return replace(
        recipe.evaluate,
        model=member.given,
        output=join(config.output, "suites", member.served.name),
        suites=list(config.suites),
        diagnostics=[],
        token_budget=config.token_budget,
        patch_budget=config.patch_budget,
        attention=config.attention,
        critiques=member.served.critiques or CritiquesConfig(),
        verdicts=member.served.verdicts or VerdictsConfig(),
    )


def write_suites(folder: str, measured: Sequence[MeasuredSuite]) -> None:
    """Write ``suites.json`` into `folder`; nothing where no suite was asked for."""
    if measured:
        document = {"suites": [document_of(one.data, one.report) for one in measured]}
        write_atomic(join(folder, SUITES_FILE), (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())


def standings(folder: str) -> dict[str, SuiteStanding]:
    """What a registered model has on suites, by name; of one that was measured on none: nothing.

    Raises:
        CorruptData: its file is damaged.
    """
    url = join(folder, SUITES_FILE)
    if not exists(url):
        return {}
    found: list[dict[str, Any]] = read_json(url, dict)["suites"]
    return {one["suite"]: SuiteStanding.of_document(one, url) for one in found}
