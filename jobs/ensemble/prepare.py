"""Before models are put together: settings are checked, members found and pinned, the data opened."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.storage import exists, join, read_json, remove_drafts
from jobs.ensemble.members import FoundMember, find_members
from jobs.ensemble.suites import open_suites
from jobs.preprocess.manifests import manifest_of
from jobs.recipe.schema import Recipe, with_absolute_paths
from jobs.registry.registry import ModelRegistry, RegisteredVersion
from jobs.tracking.address import check_tracking
from rm_core.ensembles.config import check_ensemble_config
from rm_core.evaluation.suites.files import SuiteData

__all__ = ["STATE_FILE", "EnsembleTask", "prepare", "registered"]

STATE_FILE = "registered.json"
"""Which version the output folder became, and of what."""
_NOT_SHAPING = ("output", "gate", "confidence", "bootstrap_samples")
"""Settings that change nothing of the model."""


@dataclass(frozen=True, kw_only=True)
class EnsembleTask:
    """Models that may be put together."""

    recipe: Recipe
    """With absolute paths in `ensemble`."""
    data: PreparedData
    members: Sequence[FoundMember]
    registry: ModelRegistry
    suites: Sequence[SuiteData]
    """Published benchmarks to measure it on, read and counted."""
    identity: str
    """A hash of all that decides the model."""


def prepare(recipe: Recipe) -> EnsembleTask:
    """Check and find what `recipe.ensemble` names.

    Raises:
        UserError: a setting is wrong, or a member or the data is not there.
        RunError: MLflow can't be reached.
    """
    check_ensemble_config(recipe.ensemble)
    recipe = replace(recipe, ensemble=with_absolute_paths(recipe.ensemble, "data", "output"))
    check_tracking(recipe.tracking)
    remove_drafts(recipe.ensemble.output)
    registry = ModelRegistry(recipe.tracking.uri)
    data = PreparedData.open(manifest_of(recipe, recipe.ensemble.data))
    members = find_members(recipe, data, registry)
    suites = open_suites(recipe, members)
    identity = identity_of(recipe, data, members)
    return EnsembleTask(recipe=recipe, data=data, members=members, registry=registry, suites=suites, identity=identity)


def identity_of(recipe: Recipe, data: PreparedData, members: Sequence[FoundMember]) -> str:
    """A hash of all that decides the model: settings, data, and the bytes of the members."""
    settings = {key: value for key, value in asdict(recipe.ensemble).items() if key not in _NOT_SHAPING}
    if not settings["suites"]:
        del settings["suites"]  # so that ensembles of versions without the key are known
    settings["data"] = data.manifest.fingerprint
    settings["members"] = [
        [member.served.to_json(), member.data.manifest.fingerprint, member.share] for member in members
    ]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def registered(task: EnsembleTask) -> RegisteredVersion | None:
    """The version that an earlier run made of the same; None where there is none, or it was deleted."""
    url = join(task.recipe.ensemble.output, STATE_FILE)
    if not exists(url):
        return None
    state = read_json(url, dict)
    return task.registry.look_up(state["address"]) if state["identity"] == task.identity else None
