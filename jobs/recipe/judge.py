"""The language models that a recipe names behind addresses, checked before anything is asked."""

from data_pipeline.errors import RecipeError
from jobs.recipe.addresses import check_endpoint
from jobs.recipe.schema import EvaluateConfig
from rm_core.evaluation.judge.config import ReasonerConfig, check_judge_config
from rm_core.evaluation.judge.endpoint_config import EndpointConfig, check_endpoint_config, check_template
from rm_core.rl.config import ConsistencyConfig

__all__ = ["REASONER", "check_consistency", "check_judge", "check_reasoner"]

REASONER = "reasonings.judge"
"""The section of the model that writes reasonings."""
_CONSISTENCY = "rl.reward.consistency"


def check_judge(config: EvaluateConfig) -> None:
    """Refuse a judge that can't be asked, or is asked for what only a model gives.

    Raises:
        RecipeError: names the key and the cure.
    """
    judge, key = config.judge, "evaluate.judge"
    if not _is_named(judge, key):
        return
    check_judge_config(judge, key)
    if config.rewards is not None:
        raise RecipeError(f"evaluate.rewards and {key}.url both say where rewards come from: leave one of them out")
    if config.diagnostics:
        raise RecipeError(
            f"evaluate.diagnostics={config.diagnostics} are changes for a reward model, and {key}.url names a judge: "
            "leave them out"
        )


def check_reasoner(config: ReasonerConfig) -> None:
    """Refuse a model that writes reasonings and can't be asked.

    Raises:
        RecipeError: names the key and the cure.
    """
    if config.url is None:
        raise RecipeError(f"{REASONER}.url is not set: say where the language model answers, as http://host:8000/v1")
    check_endpoint(config.url, f"{REASONER}.url")
    check_judge_config(config, REASONER)


def check_consistency(config: ConsistencyConfig) -> None:
    """Refuse a model that is to say what is consistent and can't be asked.

    Raises:
        RecipeError: names the key and the cure.
    """
    if not _is_named(config, _CONSISTENCY):
        return
    check_endpoint_config(config, _CONSISTENCY)
    check_template(config.template, ("{reasoning}", "{verdict}"), _CONSISTENCY)


def _is_named(config: EndpointConfig, key: str) -> bool:
    """Whether a model is named that may be left out.

    Raises:
        RecipeError: its address is missing or none.
    """
    if config.url is not None:
        check_endpoint(config.url, f"{key}.url")
        return True
    if config.model or config.key_variable:
        raise RecipeError(f"{key}.url is not set, and other keys of {key} are: say where the model answers")
    return False
