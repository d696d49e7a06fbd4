"""What a recipe may say about LoRA."""

from dataclasses import dataclass, field

from data_pipeline.bounds import bounded

__all__ = ["LoraConfig"]


@dataclass(kw_only=True)
class LoraConfig:
    """Low-rank adapters beside linear layers (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = bounded(16, at_least=1)
    """Inner dimension of an adapter."""
    alpha: float = bounded(32.0, above=0, cure="adapters scaled by 0 learn nothing")
    """An adapter's product is scaled by `alpha` / `rank`."""
    dropout: float = bounded(0.0, at_least=0, below=1)
    """Share of an adapter's inputs dropped while training, 0 to 1."""
    targets: list[str] = field(default_factory=list)
    """Names of the linear layers that get adapters, such as q_proj; empty: every linear layer of the group."""
