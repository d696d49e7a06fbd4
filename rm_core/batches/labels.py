"""What people said about the responses of one packed row, as tensors beside its rewards.

Legend: R responses of the row, C Comparisons, N ordered pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data_pipeline.encoding.encoder import EncodedComparison

__all__ = ["Labels", "labels_of"]


@dataclass(frozen=True, slots=True)
class Labels:
    """One row's judgements, in the order of its responses.

    Attributes:
        ids: ids of the C Comparisons, for messages.
        comparison: int64 [R], which Comparison of the row a response belongs to; rising.
        ranks: int64 [R], 0 is best; equal ranks are ties.
        scores: float32 [R], the source's score or vote count, NaN where it has none.
        lengths: int64 [R], tokens of the response with its closing one.
        pairs: int64 [2, N], (better, worse) as indices into R, all ordered pairs of each Comparison.
    """

    ids: tuple[str, ...]
    comparison: Tensor
    ranks: Tensor
    scores: Tensor
    lengths: Tensor
    pairs: Tensor

    @property
    def num_comparisons(self) -> int:
        return len(self.ids)

    @property
    def num_responses(self) -> int:
        return len(self.ranks)

    @property
    def num_pairs(self) -> int:
        """Ordered pairs."""
        return int(self.pairs.shape[1])

    def to(self, device: torch.device) -> "Labels":
        """The labels with every tensor on `device`."""
        names = ("comparison", "ranks", "scores", "lengths", "pairs")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in names})


def labels_of(comparisons: Sequence[EncodedComparison]) -> Labels:
    """The labels of a row of these Comparisons; none at all gives empty tensors."""
    sizes = [len(item.ranks) for item in comparisons]
    ranks = [rank for item in comparisons for rank in item.ranks]
    scores = [float("nan") if score is None else score for item in comparisons for score in item.scores]
    starts = np.cumsum([0, *sizes])
    pairs = [_ordered_pairs(item.ranks) + start for item, start in zip(comparisons, starts, strict=False)]
    return Labels(
        ids=tuple(item.id for item in comparisons),
        comparison=torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)),
        ranks=torch.tensor(ranks, dtype=torch.int64),
        scores=torch.tensor(scores, dtype=torch.float32),
        lengths=torch.tensor([len(ids) for item in comparisons for ids in item.response_ids], dtype=torch.int64),
        pairs=torch.from_numpy(np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0), dtype=np.int64)),
    )


def _ordered_pairs(ranks: Sequence[int]) -> npt.NDArray[np.int64]:
    """[2, N]: (better, worse); ranks (1, 0, 1) give (1, 0) and (1, 2)."""
    found = [(i, j) for i, a in enumerate(ranks) for j, b in enumerate(ranks) if a < b]
    return np.array(found, dtype=np.int64).reshape(-1, 2).T
