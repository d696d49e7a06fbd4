"""What a recipe may say about the critiques that a critic reads (`evaluate.critiques`, `score.critiques`)."""

from dataclasses import asdict, dataclass
from typing import Any

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
    writer: str = one_of("transformers", ("transformers", "vllm"))
    """What writes: Transformers' `generate` with the weights that score, on CPUs too; or vLLM with a copy of them, in a
    process of its own, where it is installed."""
    vllm_python: str | None = None
    """The Python that has vLLM, such as ``/opt/vllm/bin/python``; unset: the one that runs this."""
    vllm_memory: float = bounded(0.5, above=0, at_most=1)
    """Share of a GPU's memory that vLLM may take, beside the model that scores."""
    seed: int = bounded(0, at_least=0)
    """Another seed samples other critiques; the same one gives the same, whatever else is scored beside them."""

    def deciding(self) -> dict[str, Any]:
        """What decides the texts: not where vLLM is, and not that Transformers writes: early versions had no other."""
        left_out = {"vllm_python", "vllm_memory"} | ({"writer"} if self.writer == "transformers" else set())
        return {name: value for name, value in asdict(self).items() if name not in left_out}


def check_critiques_config(config: CritiquesConfig, key: str) -> None:
    """Refuse what cannot be meant.

    Args:
        key: of the section, such as ``evaluate.critiques``.

    Raises:
        RecipeError: names the key, its value and the cure.
    """
    check_bounds(config, key)
    if config.vllm_python is not None and config.writer != "vllm":
        raise RecipeError(
            f"{key}.vllm_python={config.vllm_python!r} is read where vLLM writes: set {key}.writer=vllm, or leave it "
            "out"
        )
    if config.source == "written" and config.temperature == 0 and config.number > 1:
        raise RecipeError(
            f"{key}.temperature=0 writes {key}.number={config.number} times the same critique: set number=1, or a "
            "temperature above 0"
        )
