"""Parts of a model whose weights are gathered together where ranks share them, as FSDP does.

one unit    each decoder layer, each block of the tower, the table of embeddings, the language head
the root    all that is left: patch embedding, mergers, final norm, reward head; and a table that is both
            embeddings and language head
"""

from typing import Any

from torch import nn

from rm_core.model.reward_model import RewardModel

__all__ = ["large_tables", "units_of_model"]


def units_of_model(model: RewardModel) -> list[nn.Module]:
    """All of `model`'s units but the root, which is the model itself."""
    return [*model.layers, *large_tables(model)]


def large_tables(model: RewardModel) -> list[nn.Module]:
    """Embeddings and the language head, units of their own unless both are one table."""
    decoder: Any = model.family.decoder(model.backbone)
    embeddings, head = decoder.embed_tokens, model.lm_head
    if head is None:
        return [embeddings]
    return [] if head.weight is embeddings.weight else [embeddings, head]
