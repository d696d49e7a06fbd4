"""What a recipe may say about the critiques that a critic reads (`evaluate.critiques`, `score.critiques`)."""

from dataclasses import dataclass

from data_pipeline.bounds import bounded, check_bounds, one_of
from data_pipeline.errors import RecipeError

__all__ = ["CritiquesConfig", "check_critiques_config"]


@dataclass(kw_only=True)
class CritiquesConfig:
    """Where a critic's critiques come from; other reward models read none.

    How they are written may be said where they are given: a command then changes the source alone.
    """

    source: str = one_of("given", ("given", "written"))
    """``given``: those of the records, one for each answer; ``written``: the model writes them, whatever is given."""
    number: int = bounded(1, at_least=1, at_most=64)
    """Critiques that are written of each answer; its reward is the mean over them."""
    temperature: float = bounded(1.0, at_least=0)
    """How freely tokens are sampled; 0: always the likeliest one."""
    top_p: float = bounded(1.0, above=0, at_most=1)
    """Share of the probability, above 0 and at most 1, that the tokens have which are sampled from."""
    max_tokens: int = bounded(512, at_least=1)
    """Tokens of a critique at most; one that is longer ends there."""
    seed: int = bounded(0, at_least=0)
    """Another seed samples other critiques; the same one gives the same, whatever else is scored beside them."""


def check_critiques_config(config: CritiquesConfig, key: str) -> None:
    """Refuse what cannot be meant.

    Args:
        key: of the section, such as ``evaluate.critiques``.

    Raises:
        RecipeError: names the key, its value and the cure.
    """
    check_bounds(config, key)
    if config.source == "written" and config.temperature == 0 and config.number > 1:
        raise RecipeError(
            f"{key}.temperature=0 writes {key}.number={config.number} times the same critique: set number=1, or a "
            "temperature above 0"
        )
