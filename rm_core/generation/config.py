"""What a recipe may say about what is written before a reward: a critic's critiques (`evaluate.critiques`,
`score.critiques`, `serve.critiques`), and a judge's verdicts (`evaluate.verdicts`, `score.verdicts`, `serve.verdicts`).
"""

from dataclasses import asdict, dataclass
from typing import Any

from data_pipeline.bounds import bounded, check_bounds, one_of
from data_pipeline.errors import RecipeError

__all__ = ["CritiquesConfig", "SamplingConfig", "VerdictsConfig", "check_critiques_config", "check_verdicts_config"]


@dataclass(kw_only=True)
class SamplingConfig:
    """How a model writes texts."""

    number: int = bounded(1, at_least=1, at_most=64)
    """Critiques that are written of each answer, whose mean reward counts; of a judge that reasons, texts about each
    pair of answers in each order, whose verdicts are counted."""
    temperature: float = bounded(1.0, at_least=0)
    """How freely tokens are sampled; 0: always the likeliest one."""
    top_p: float = bounded(1.0, above=0, at_most=1)
    """Share of the probability, above 0 and at most 1, that the tokens have which are sampled from."""
    max_tokens: int = bounded(512, at_least=1)
    """Tokens of a text at most; one that is longer ends there, and is no verdict."""
    seed: int = bounded(0, at_least=0)
    """Another seed samples other texts; the same one gives the same, whatever else is scored beside them."""
    writer: str = one_of("transformers", ("transformers", "vllm"))
    """What writes: Transformers' `generate` with the weights that score, on CPUs too; or vLLM with a copy of them, in a
    process of its own, where it is installed."""
    vllm_python: str | None = None
    """The Python that has vLLM, such as ``/opt/vllm/bin/python``; unset: the one that runs this."""
    vllm_memory: float = bounded(0.5, above=0, at_most=1)
    """Share of a GPU's memory that vLLM may take, beside the model that scores."""

    def deciding(self) -> dict[str, Any]:
        """What decides the texts: not where vLLM is, and not that Transformers writes: early versions had no other."""
        left_out = {"vllm_python", "vllm_memory"} | ({"writer"} if self.writer == "transformers" else set())
        return {name: value for name, value in asdict(self).items() if name not in left_out}


@dataclass(kw_only=True)
class CritiquesConfig(SamplingConfig):
    """Where a critic's critiques come from; other reward models read none.

    How they are written may be said where they are given: a command then changes the source alone.
    """

    source: str = one_of("given", ("given", "written"))
    """``given``: those of the records, one for each answer; ``written``: the model writes them, whatever is given."""


@dataclass(kw_only=True)
class VerdictsConfig(SamplingConfig):
    """What a judge is asked; other reward models are asked nothing. Only one that reasons writes texts."""

    pairs: str = one_of("all_pairs", ("all_pairs", "tournament"))
    """Of more than two answers: ``all_pairs``, K (K - 1) / 2 of them; ``tournament``, K - 1 in rounds that halve those
    that are left. Each pair is asked about in both orders."""

    def num_questions(self, num_answers: int) -> int:
        """Of so many answers: each pair in both orders."""
        return 2 * (num_answers - 1) if self.pairs == "tournament" else num_answers * (num_answers - 1)


def check_critiques_config(config: CritiquesConfig, key: str) -> None:
    """Refuse what cannot be meant.

    Args:
        key: of the section, such as ``evaluate.critiques``.

    Raises:
        RecipeError: names the key, its value and the cure.
    """
    check_bounds(config, key)
    _check_writer(config, key)
    if config.source == "written":
        _check_number(config, key, "critique")


def check_verdicts_config(config: VerdictsConfig, key: str, *, judges: bool, reasons: bool) -> None:
    """Refuse what cannot be meant, or what the model does not read.

    Args:
        key: of the section, such as ``evaluate.verdicts``.
        judges: whether the model is a judge.
        reasons: whether it is one that reasons.

    Raises:
        RecipeError: names the key and the cure.
    """
    check_bounds(config, key)
    if not judges and config != VerdictsConfig():
        raise RecipeError(f"{key} is read where a generative reward model scores, and this one is none: leave it out")
    if not reasons and config != VerdictsConfig(pairs=config.pairs):
        raise RecipeError(
            f"{key} says how texts are written, and this model gives its verdict at once: leave all but {key}.pairs out"
        )
    _check_writer(config, key)
    _check_number(config, key, "text")


def _check_writer(config: SamplingConfig, key: str) -> None:
    if config.vllm_python is not None and config.writer != "vllm":
        raise RecipeError(
            f"{key}.vllm_python={config.vllm_python!r} is read where vLLM writes: set {key}.writer=vllm, or leave it "
            "out"
        )


def _check_number(config: SamplingConfig, key: str, what: str) -> None:
    if config.temperature == 0 and config.number > 1:
        raise RecipeError(
            f"{key}.temperature=0 writes {key}.number={config.number} times the same {what}: set number=1, or a "
            "temperature above 0"
        )
