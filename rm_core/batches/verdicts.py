"""What the responses of a row ask a judge: which of two answers is better. Beside `labels`, which are the answers'.

Legend: R answers of the row, Q questions.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data_pipeline.encoding.encoder import EncodedComparison
from rm_core.batches.targets import Targets

__all__ = ["Verdicts", "verdict_targets", "verdicts_of"]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The questions of a row, in its order; each has two targets, the verdicts for the first and the second answer.

    Attributes:
        first: int64 [Q], the answer that is shown first, an index into R.
        second: int64 [Q], the other.
        share: float32 [Q], of each in the rewards of its two answers: 1 / (answers of the Comparison * questions about
            these two).
        right: int64 [Q], which of the two targets is right, as an index into [2 Q]; one that is not known is the
            first.
        weight: float32 [Q], of each in the loss, such that the questions about a pair that a record judges have 1; 0
            where it is not known which verdict is right.
    """

    first: Tensor
    second: Tensor
    share: Tensor
    right: Tensor
    weight: Tensor


def verdicts_of(comparisons: Sequence[EncodedComparison]) -> Verdicts:
    """Of the questions of these Comparisons; none at all gives empty tensors.

    Raises:
        ValueError: a Comparison asks nothing.
    """
    pairs: list[tuple[int, int]] = []
    shares: list[float] = []
    right: list[int] = []
    weights: list[float] = []
    start = 0
    for item in comparisons:
        asked = item.questions
        if asked is None:
            raise ValueError(f"Comparison {item.id!r} asks a judge nothing")
        times = Counter(map(frozenset, asked.pairs))
        num_answers = len(asked.lengths)
        pairs += [(start + first, start + second) for first, second in asked.pairs]
        shares += [1 / (num_answers * times[frozenset(pair)]) for pair in asked.pairs]
        weights += [(known >= 0) / asked.per_pair for known in asked.right]
        right += [max(0, known) for known in asked.right]
        start += num_answers
    places = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)
    return Verdicts(
        first=places[:, 0].contiguous(),
        second=places[:, 1].contiguous(),
        share=torch.tensor(shares, dtype=torch.float32),
        right=2 * torch.arange(len(right)) + torch.tensor(right, dtype=torch.int64),
        weight=torch.tensor(weights, dtype=torch.float32),
    )


def verdict_targets(comparisons: Sequence[EncodedComparison], ends: Tensor) -> Targets:
    """Both verdicts of every question, as tokens that are predicted where it ends.

    Args:
        ends: int64 [Q], where in the row each question's last token stands.
    """
    asked = [item.questions for item in comparisons if item.questions is not None]
    tokens = [token for one in asked for _ in one.pairs for token in one.verdicts]
    questions = torch.arange(len(ends))
    return Targets(
        index=torch.repeat_interleave(ends, 2),
        ids=torch.tensor(tokens, dtype=torch.int64),
        owner=torch.repeat_interleave(questions, 2),
        lengths=torch.full((len(ends),), 2, dtype=torch.int64),
    )
