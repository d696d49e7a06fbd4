"""What a recipe may say about LoRA."""

from dataclasses import dataclass, field

__all__ = ["LoraConfig"]


@dataclass(kw_only=True)
class LoraConfig:
    """Low-rank adapters beside linear layers (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = 16
    """Inner dimension of an adapter."""
    alpha: float = 32.0
    """An adapter's product is scaled by `alpha` / `rank`."""
    dropout: float = 0.0
    """Share of an adapter's inputs dropped while training, 0 to 1."""
    targets: list[str] = field(default_factory=list)
    """Names of the linear layers that get adapters, such as q_proj; empty: every linear layer of the group."""
