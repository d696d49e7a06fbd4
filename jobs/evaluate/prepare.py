"""Before an evaluation, or scoring: the model is verified, the data opened, and both are read in one way."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.reading import Reading
from data_pipeline.encoding.tokenizer import tokenizer_fingerprint
from data_pipeline.errors import RecipeError
from data_pipeline.storage import absolute, remove_drafts
from jobs.preprocess.manifests import manifest_of
from jobs.recipe.judge import check_judge
from jobs.recipe.schema import EvaluateConfig, Recipe, with_absolute_paths
from jobs.runtime.terminal import say
from jobs.tracking.address import check_tracking
from rm_core.evaluation.judge.endpoint_config import key_of
from rm_core.model_folder.folder import marker_sha256, verify_folder
from rm_core.model_folder.paradigm import reasons
from rm_core.model_folder.reading import check_data, reading_to_use
from rm_core.model_folder.remote import local_model
from rm_core.scoring.choose import check_writing, verdicts_read, writes
from rm_core.scoring.scored_file import ScoredOrigin, model_origin

__all__ = ["Evaluation", "prepare", "reading_as"]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """An evaluation that may run."""

    recipe: Recipe
    config: EvaluateConfig
    """The recipe's, with absolute paths; `data` is the path of a manifest."""
    data: PreparedData | None
    """None where no split is scored."""
    lineage: Mapping[str, Any]
    """What the model says of its origin; empty where rewards are given, or a judge gives them."""

    @property
    def is_judged(self) -> bool:
        """Whether a judge gives the rewards; there is no model then."""
        return self.config.judge.url is not None

    @property
    def writes(self) -> bool:
        """Whether the model writes before it scores."""
        return (
            self.config.rewards is None
            and not self.is_judged
            and writes(local_model(self.config.model), self.config.critiques)
        )

    def origin(self) -> ScoredOrigin | None:
        """What its rewards are of, for an ensemble that looks for them; None where only some of the split is scored."""
        if self.config.limit is not None or self.data is None or self.config.split is None or self.is_judged:
            return None
        copy = local_model(self.config.model)
        if reasons(copy):
            return None  # what has no verdict counts as a tie here, and an ensemble leaves it out
        asked = verdicts_read(copy, self.config.verdicts)
        model = model_origin(marker_sha256(copy), self.config.critiques, asked)
        fingerprint = self.data.manifest.fingerprint
        return ScoredOrigin(data_fingerprint=fingerprint, split=self.config.split, model=model)


def prepare(recipe: Recipe) -> Evaluation:
    """Check what `recipe.evaluate` names; of rewards that are given nothing but their address.

    Raises:
        RecipeError: neither a split nor a suite is named, or a judge can't be asked.
        UserError: data or model are not there, the tracking store or the experiment, or the model reads other tokens
            than the data have.
        RunError: the store doesn't answer.
    """
    config = with_absolute_paths(recipe.evaluate, "model", "data", "output")
    if not config.suites and (config.split is None or config.rewards is not None):
        raise RecipeError("nothing is evaluated: name a split (evaluate.split=heldout) or evaluate.suites=[...]")
    check_judge(config)
    check_tracking(recipe.tracking)
    key_of(config.judge)
    if config.rewards is not None:
        given = replace(config, rewards=absolute(config.rewards), split=None)
        return Evaluation(recipe=recipe, config=given, data=None, lineage={})
    copy = None if config.judge.url is not None else local_model(config.model)
    lineage = {} if copy is None else verify_folder(copy)
    if copy is not None:
        name = f"evaluate.model={recipe.evaluate.model!r}"
        check_writing(copy, config.critiques, config.verdicts, name=name, section="evaluate")
    data = None
    if config.split is not None:
        config = replace(config, data=manifest_of(recipe, config.data))
        data = PreparedData.open(config.data)
        if copy is not None:
            check_data(copy, f"evaluate.model={recipe.evaluate.model!r}", data, config.split, report=say)
    remove_drafts(config.output)
    return Evaluation(recipe=recipe, config=config, data=data, lineage=lineage)


def reading_as(recipe: Recipe, model: str, name: str) -> Recipe:
    """The recipe for reading raw records as the model in the local folder `model` does.

    Args:
        name: what messages call the model.

    Raises:
        RecipeError: the recipe says otherwise.
    """
    config = recipe.preprocess
    said = Reading.of_config(config, tokenizer_fingerprint(model))
    reading = reading_to_use(
        model,
        name,
        said,
        other_name=f"recipe {recipe.name!r}",
        cure="set {settings} in the recipe or the command",
        report=say,
    )
    rules, media = replace(config.rules, max_tokens=reading.max_tokens), reading.bounded(config.media)
    return replace(recipe, preprocess=replace(config, encode=reading.encode, rules=rules, media=media))
