"""What the responses of a row ask a judge: which of two answers is better. Beside `labels`, which are the answers'.

Legend: R answers of the row, Q questions.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data_pipeline.encoding.encoded import EncodedComparison, Questions
from rm_core.batches.layout import Block
from rm_core.batches.targets import Targets, targets_of

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
        asked = _questions_of(item)
        times = Counter(map(frozenset, asked.pairs))
        num_answers = len(asked.lengths)
        pairs += [(start + first, start + second) for first, second in asked.pairs]
        shares += [1 / (num_answers * times[frozenset(pair)]) for pair in asked.pairs]
        weights += [(known >= 0) * weight for known, weight in zip(asked.right, asked.weights, strict=True)]
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


def verdict_targets(comparisons: Sequence[EncodedComparison], blocks: Sequence[Block], ends: Tensor) -> Targets:
    """Both verdicts of every question, as tokens that are predicted where it ends; behind all of these, what a judge
    that reasons shall write.

    Args:
        blocks: where the Comparisons stand in the row.
        ends: int64 [Q], where in the row each question's last token stands.
    """
    asked = list(map(_questions_of, comparisons))
    tokens = [token for one in asked for _ in one.pairs for token in one.verdicts]
    behind = torch.tensor([one.behind for one in asked for _ in one.pairs], dtype=torch.int64)
    questions = torch.arange(len(ends))
    written = targets_of(comparisons, blocks)
    return Targets(
        index=torch.cat([torch.repeat_interleave(ends - behind, 2), written.index]),
        ids=torch.cat([torch.tensor(tokens, dtype=torch.int64), written.ids]),
        owner=torch.cat([torch.repeat_interleave(questions, 2), written.owner]),
        lengths=written.lengths + 2,
    )


def _questions_of(item: EncodedComparison) -> Questions:
    if item.questions is None:
        raise ValueError(f"Comparison {item.id!r} asks a judge nothing")
    return item.questions
