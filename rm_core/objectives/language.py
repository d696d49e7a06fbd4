"""What it costs a critic that critiques were written by somebody else: language-model loss beside the loss on rewards.

    MM-RLHF (arXiv 2502.10391), of one pair: a (-log sigmoid(r_c - r_r)) + b (CE_chosen + CE_rejected)

CE is the mean of -log P over the tokens of a critique, a and b are `CriticConfig`'s weights. Of a Comparison with K
responses it is the sum over its K critiques; the loss of a step divides by its Comparisons.
Legend: N target tokens of the row, R responses.
"""

from dataclasses import replace

import torch
from torch import Tensor

from data_pipeline.errors import RunError
from rm_core.batches.packed import PackedBatch
from rm_core.batches.targets import Targets
from rm_core.objectives.config import CriticConfig
from rm_core.objectives.terms import Judged, Term

__all__ = ["LANGUAGE", "check_critiques", "with_language"]

LANGUAGE = "language"
"""Name of the term."""


def check_critiques(batch: PackedBatch) -> None:
    """Refuse to train on a response without a critique. Of a batch that still lies on the CPU.

    Raises:
        RunError: names the Comparison.
    """
    if batch.targets is None:
        return
    lengths = batch.targets.lengths.tolist()
    owners = [name for name, count in zip(batch.ids, batch.num_responses, strict=True) for _ in range(count)]
    for name, length in zip(owners, lengths, strict=True):
        if length == 0:
            raise RunError(
                f"Comparison {name!r} has a response without a critique, and train.paradigm=critic learns from "
                "critiques: preprocess its source with missing_critiques=refuse"
            )


def with_language(judged: Judged, costs: Tensor, targets: Targets, config: CriticConfig, *, comparisons: int) -> Judged:
    """What an objective says about a row, weighed, and the term of its critiques.

    Args:
        costs: float32 [N], -log P of each target.
        targets: parallel, on the same device.
        comparisons: of the row.
    """
    sums = torch.zeros(len(targets.lengths), dtype=costs.dtype, device=costs.device)
    means = sums.index_add(0, targets.owner, costs) / targets.lengths.clamp(min=1)
    rank = judged.terms["rank"]
    weighed = replace(rank, sum=config.reward_weight * rank.sum)
    language = Term(config.language_weight * means.sum(), "comparisons", comparisons)
    return replace(judged, terms={**judged.terms, "rank": weighed, LANGUAGE: language})
