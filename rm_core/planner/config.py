"""What a recipe may say about planning."""

from dataclasses import dataclass, field

from data_pipeline.bounds import bounded, check_bounds
from data_pipeline.errors import RecipeError

__all__ = ["PlanConfig", "check_plan_config"]


@dataclass(kw_only=True)
class PlanConfig:
    """On which GPUs a training is to run, and what is assumed where nothing is known (`basereward plan`)."""

    shape: str | None = None
    """A size by name, such as 7b, to plan without the weights; unset: of the folder ``train.model``."""
    gpus: int | None = bounded(None, at_least=1)
    """GPUs; unset: ``train.num_workers``."""
    gpu: str = "h100-80gb"
    """Kind of GPU: l40s-48gb, a100-40gb, a100-80gb, h100-80gb, h200-141gb or b200-192gb."""
    gpus_per_node: int = bounded(8, at_least=1)
    """GPUs of a node: these talk over NVLink, nodes over the network."""
    memory_margin: float = bounded(0.06, at_least=0, below=1)
    """Share of a GPU's memory that has to stay free beside what is planned, its 8 % for fragments included: rows that
    vary in length leave more of them over a day than the six trainings that were measured."""
    price: float | None = bounded(None, at_least=0)
    """Dollars an hour for one GPU; unset: the catalogue's, an on-demand list price."""
    comparisons: int = bounded(1_000_000, at_least=1)
    """Comparisons of an epoch, where ``train.data`` is not prepared yet."""
    sizes: dict[str, int] = bounded({}, at_least=1)
    """Comparisons of each source by its name, likewise, before its cap and its repeats: what ``preprocess.mixture``
    leaves of them takes the place of ``comparisons``."""
    text_only: list[str] = field(default_factory=list)
    """Those of ``sizes`` that have no images."""
    prefix_tokens: int = bounded(900, at_least=1)
    """Tokens of a prompt with its images in the mean, likewise; without ``text_only`` the mean is over all prompts."""
    response_tokens: int = bounded(250, at_least=1)
    """Tokens of an answer in the mean, likewise."""
    responses: int = bounded(2, at_least=1)
    """Answers of a Comparison, likewise."""
    patches: int = bounded(2000, at_least=0)
    """Vision patches of a Comparison in the mean, likewise; four of them are one token of the prompt."""
    compute_efficiency: float = bounded(0.25, above=0, at_most=1)
    """Share of the GPU's dense bf16 FLOP/s that a row reaches, recomputation counted: 0.2 to 0.26 in trainings of 3B on
    an H200, 0.42 in one of 7B with adapters."""
    network_efficiency: float = bounded(0.7, above=0, at_most=1)
    """Share of the link's or network's bytes a second that collective calls reach. An assumption."""
    store_gb_s: float = bounded(5.0, above=0)
    """10^9 bytes a second between a node and the store of model and checkpoints (40 Gbit/s). An assumption."""
    start_s: float = bounded(600.0, at_least=0)
    """Seconds for which GPUs are paid before the model is read: machines, the image, Python. An assumption."""
    compare: list[str] = field(default_factory=list)
    """Also show a table of these sizes over 8 to 256 GPUs, such as [3b, 7b, 32b, 72b]."""


def check_plan_config(config: PlanConfig) -> None:
    """Refuse what cannot be planned.

    Raises:
        RecipeError: names the key, its value and the cure.
    """
    check_bounds(config, "plan")
    if config.patches > 4 * config.prefix_tokens:
        raise RecipeError(
            f"plan.patches={config.patches} must be 0 to four times plan.prefix_tokens={config.prefix_tokens}, which "
            "counts a token for every four of them"
        )
    if unknown := [name for name in config.text_only if name not in config.sizes]:
        raise RecipeError(f"plan.text_only names {', '.join(unknown)}, of which plan.sizes says no number: add them")
