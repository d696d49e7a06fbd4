"""Before an evaluation: the model is verified and the prepared data opened."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.storage import remove_drafts
from jobs.preprocess.manifests import manifest_of
from jobs.recipe.schema import EvaluateConfig, Recipe, with_absolute_paths
from rm_core.model_folder.folder import marker_sha256, verify_folder
from rm_core.model_folder.remote import local_model
from rm_core.scoring.scored_file import ScoredOrigin

__all__ = ["Evaluation", "prepare"]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """An evaluation that may run."""

    recipe: Recipe
    config: EvaluateConfig
    """The recipe's, with absolute paths; `data` is the path of a manifest."""
    data: PreparedData
    lineage: Mapping[str, Any]
    """What the model says of its origin."""

    def origin(self) -> ScoredOrigin | None:
        """What its rewards are of, for an ensemble that looks for them; None where only some of the split is scored."""
        if self.config.limit is not None:
            return None
        model = marker_sha256(local_model(self.config.model))
        fingerprint = self.data.manifest.fingerprint
        return ScoredOrigin(data_fingerprint=fingerprint, split=self.config.split, model=model)


def prepare(recipe: Recipe) -> Evaluation:
    """Check what `recipe.evaluate` names.

    Raises:
        UserError: data or model are not there.
    """
    config = with_absolute_paths(recipe.evaluate, "model", "data", "output")
    lineage = verify_folder(local_model(config.model))
    config = replace(config, data=manifest_of(recipe, config.data))
    remove_drafts(config.output)
    return Evaluation(recipe=recipe, config=config, data=PreparedData.open(config.data), lineage=lineage)
