"""What people said about the responses of one packed row, as tensors beside its rewards.

Legend: R responses of the row, J judged responses, C judged Comparisons, N ordered pairs. J = R and C is the number of
Comparisons, unless some are grouped: then each of their records is a judged Comparison of its own, and a response that
several of them judge counts for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data_pipeline.encoding.encoder import EncodedComparison

__all__ = ["Labels", "SharedResponses", "labels_of"]


@dataclass(frozen=True, slots=True)
class SharedResponses:
    """Which response of a row with grouped Comparisons each judged response is.

    Attributes:
        index: int64 [J], indices into R.
        count: R.
    """

    index: Tensor
    count: int


@dataclass(frozen=True, slots=True)
class Labels:
    """One row's judgements, in the order of its judged responses.

    Attributes:
        ids: ids of the C judged Comparisons, for messages.
        comparison: int64 [J], which judged Comparison of the row a judged response belongs to; rising.
        ranks: int64 [J], 0 is best; equal ranks are ties.
        scores: float32 [J], the source's score or vote count, NaN where it has none.
        lengths: int64 [J], tokens of the response with its closing one.
        pairs: int64 [2, N], (better, worse) as indices into J, all ordered pairs of each judged Comparison.
        shared: which responses are judged, where any Comparison is grouped; None: each of them once, in order.
    """

    ids: tuple[str, ...]
    comparison: Tensor
    ranks: Tensor
    scores: Tensor
    lengths: Tensor
    pairs: Tensor
    shared: SharedResponses | None = None

    @property
    def num_comparisons(self) -> int:
        """Judged ones."""
        return len(self.ids)

    @property
    def num_responses(self) -> int:
        """Judged ones."""
        return len(self.ranks)

    @property
    def num_outputs(self) -> int:
        """Responses of the row: what the model gives a reward of."""
        return self.num_responses if self.shared is None else self.shared.count

    @property
    def num_pairs(self) -> int:
        """Ordered pairs."""
        return int(self.pairs.shape[1])

    def to(self, device: torch.device) -> "Labels":
        """The labels with every tensor on `device`."""
        names = ("comparison", "ranks", "scores", "lengths", "pairs")
        moved = replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in names})
        if self.shared is None:
            return moved
        index = self.shared.index.to(device, non_blocking=True)
        return replace(moved, shared=replace(self.shared, index=index))


def labels_of(comparisons: Sequence[EncodedComparison]) -> Labels:
    """The labels of a row of these Comparisons; none at all gives empty tensors."""
    judged = [judgement for item in comparisons for judgement in item.judged]
    sizes = [len(one.ranks) for one in judged]
    ranks = [rank for one in judged for rank in one.ranks]
    scores = [float("nan") if score is None else score for one in judged for score in one.scores]
    starts = np.cumsum([0, *sizes])
    pairs = [_ordered_pairs(one.ranks) + start for one, start in zip(judged, starts, strict=False)]
    lengths = [item.answer_lengths[place] for item in comparisons for one in item.judged for place in one.responses]
    return Labels(
        ids=tuple(one.id for one in judged),
        comparison=torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)),
        ranks=torch.tensor(ranks, dtype=torch.int64),
        scores=torch.tensor(scores, dtype=torch.float32),
        lengths=torch.tensor(lengths, dtype=torch.int64),
        pairs=torch.from_numpy(np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0), dtype=np.int64)),
        shared=_shared_responses(comparisons) if any(item.judgements for item in comparisons) else None,
    )


def _shared_responses(comparisons: Sequence[EncodedComparison]) -> SharedResponses:
    starts = np.cumsum([0, *(len(item.answer_lengths) for item in comparisons)]).tolist()
    index = [
        start + place
        for item, start in zip(comparisons, starts, strict=False)
        for one in item.judged
        for place in one.responses
    ]
    return SharedResponses(torch.tensor(index, dtype=torch.int64), starts[-1])


def _ordered_pairs(ranks: Sequence[int]) -> npt.NDArray[np.int64]:
    """[2, N]: (better, worse); ranks (1, 0, 1) give (1, 0) and (1, 2)."""
    found = [(i, j) for i, a in enumerate(ranks) for j, b in enumerate(ranks) if a < b]
    return np.array(found, dtype=np.int64).reshape(-1, 2).T
