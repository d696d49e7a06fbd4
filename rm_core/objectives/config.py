"""What a recipe may say about the objective (`train.objective`)."""

from dataclasses import dataclass

from data_pipeline.bounds import bounded, check_bounds, one_of
from data_pipeline.errors import RecipeError

__all__ = [
    "LABELS",
    "LISTWISE",
    "NAMES",
    "TIES",
    "WEIGHTINGS",
    "CriticConfig",
    "ObjectiveConfig",
    "check_objective_config",
]

LISTWISE = ("plackett_luce", "top1")
TIES = ("rao_kupper", "davidson")
NAMES = ("bradley_terry", *LISTWISE, *TIES)
LABELS = ("ranks", "scores", "votes")
WEIGHTINGS = ("pair", "comparison")


@dataclass(kw_only=True)
class ObjectiveConfig:
    """What a reward model is trained to do with the rewards of a Comparison's responses."""

    name: str = one_of("bradley_terry", NAMES)
    """bradley_terry (pairs), plackett_luce (the whole order), top1 (the best), rao_kupper or davidson (pairs, ties)."""
    labels: str = one_of("ranks", LABELS)
    """What bradley_terry believes: ranks, scores (sigmoid of the gap of two scores) or votes (share of two counts)."""
    label_temperature: float = bounded(1.0, above=0)
    """Gap of two scores, in the source's units, that makes odds of e to 1; for labels=scores."""
    weighting: str = one_of("pair", WEIGHTINGS)
    """pair: every pair (or match, where ties count) weighs 1; comparison: every Comparison does, its pairs alike."""
    margin: float = bounded(0.0, at_least=0)
    """Reward by which the better response has to lead, for bradley_terry on ranks."""
    score_margin: float = bounded(0.0, at_least=0)
    """The same for each unit of the gap of two scores; 0: scores are not read."""
    tie_parameter: float = bounded(1.0, above=0)
    """rao_kupper: log(theta), the reward gap below which a tie is likely; davidson: nu, tie odds of equals. Above 0."""
    zero_coefficient: float = bounded(0.0, at_least=0)
    """Weight of (reward of the better + reward of the worse)^2 of each pair: the paper's regulariser."""
    length_normalisation: bool = False
    """Divide rewards by log(tokens of the response + 1) before anything else."""
    batch_zero_coefficient: float = bounded(0.0, at_least=0)
    """Weight of the squared mean reward of the optimiser step; above 0 it costs a second forward pass."""
    l2_coefficient: float = bounded(0.0, at_least=0)
    """Weight of the squared reward of each response."""


@dataclass(kw_only=True)
class CriticConfig:
    """How a critic weighs what it is trained to do."""

    reward_weight: float = bounded(1.0, above=0, cure="the head would learn nothing; train.weights.head freezes it")
    """Weight of the objective's loss on rewards; its regularisers keep their own."""
    language_weight: float = bounded(1.0, above=0, cure="a model that learns no critiques is scalar")
    """Weight of the language-model loss on the critiques: the sum over a Comparison's of the mean over their tokens."""


def check_objective_config(config: ObjectiveConfig) -> None:
    """Refuse values out of range, and fields that the others leave unread.

    Raises:
        RecipeError: names the key, its value and the cure.
    """
    check_bounds(config, "train.objective")
    _check_all_is_read(config)


def _check_all_is_read(config: ObjectiveConfig) -> None:
    pairs = config.name == "bradley_terry"
    if config.labels != "ranks" and not pairs:
        raise RecipeError(
            f"train.objective.labels={config.labels!r} needs train.objective.name=bradley_terry, not {config.name}: "
            "leave it at ranks, or change the name"
        )
    if config.label_temperature != 1 and config.labels != "scores":
        raise RecipeError(
            f"train.objective.label_temperature={config.label_temperature} is read for train.objective.labels=scores "
            f"only, not {config.labels}: leave it out"
        )
    if config.tie_parameter != 1 and config.name not in TIES:
        raise RecipeError(
            f"train.objective.tie_parameter={config.tie_parameter} is read for {' and '.join(TIES)} only, not "
            f"{config.name}: leave it out"
        )
    for key in ("margin", "score_margin"):
        if getattr(config, key) and not (pairs and config.labels == "ranks"):
            raise RecipeError(
                f"train.objective.{key}={getattr(config, key)} needs train.objective.name=bradley_terry with "
                f"labels=ranks, not {config.name} with labels={config.labels}: set it to 0"
            )
