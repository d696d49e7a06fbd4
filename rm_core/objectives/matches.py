"""The matches of a row, and what scores say about them.

A match is an unordered pair of responses of one Comparison, a tie included: K (K - 1) / 2 for K responses. An ordered
pair is a match whose responses differ in rank.
"""

import torch
from torch import Tensor

from data_pipeline.errors import RunError
from rm_core.batches.labels import Labels

__all__ = [
    "check_scores",
    "comparison_weights",
    "matches_of",
    "score_shares",
    "segment_max",
    "segment_sum",
    "vote_shares",
]


def matches_of(labels: Labels) -> Tensor:
    """Int64 [2, M], (i, j) with i < j: ranks (0, 1, 1) give (0, 1), (0, 2) and (1, 2).

    Its length is read from the labels: on a GPU this waits for it, on the CPU it does not.
    """
    index = torch.arange(labels.num_responses, device=labels.comparison.device)
    stop = torch.bincount(labels.comparison, minlength=1).cumsum(0)[labels.comparison]
    later = stop - index - 1
    first = torch.repeat_interleave(index, later)
    start = later.cumsum(0) - later
    second = first + 1 + torch.arange(len(first), device=first.device) - start[first]
    return torch.stack([first, second])


def comparison_weights(indices: Tensor, labels: Labels) -> Tensor:
    """Float32 [N]: 1 / (pairs of the own Comparison) for the pairs or matches `indices` [2, N].

    They depend on the Comparison alone, so the sum over a step does not depend on how it was split into rows.
    """
    owner = labels.comparison[indices[0]]
    ones = torch.ones(len(owner), dtype=torch.float32, device=owner.device)
    return segment_sum(ones, owner, labels.num_comparisons)[owner].reciprocal()


def check_scores(labels: Labels, *, votes: bool) -> None:
    """Refuse a row with a score that is missing, infinite or, as a number of votes, negative.

    Raises:
        RunError: names the first such Comparison and the score.
    """
    wrong = ~labels.scores.isfinite()
    if votes:
        wrong |= labels.scores < 0
    if not bool(wrong.any()):
        return
    index = int(wrong.nonzero()[0, 0])
    meaning = "numbers of votes, 0 or above" if votes else "finite scores"
    raise RunError(
        f"Comparison {labels.ids[int(labels.comparison[index])]!r} has the score {float(labels.scores[index])} where "
        f"train.objective needs {meaning} of every response (nan: its source gives none): leave its source out, or "
        "train on ranks with labels=ranks and score_margin=0"
    )


def score_shares(labels: Labels, matches: Tensor, temperature: float) -> Tensor:
    """Float32 [M]: the chance that i is better, sigmoid((score of i - score of j) / temperature)."""
    return torch.sigmoid((labels.scores[matches[0]] - labels.scores[matches[1]]) / temperature)


def vote_shares(labels: Labels, matches: Tensor) -> tuple[Tensor, Tensor]:
    """Float32 [M] twice: i's share of the votes for i or j, and the evidence, 0 where nobody voted and else 1."""
    first, second = labels.scores[matches[0]], labels.scores[matches[1]]
    votes = first + second
    voted = votes > 0
    return torch.where(voted, first / torch.where(voted, votes, 1.0), 0.5), voted.float()


# Sums and maxima of parts of a vector, without a loop and without asking the device how long the parts are.


def segment_sum(values: Tensor, segment: Tensor, num_segments: int) -> Tensor:
    """[num_segments] sums of `values` [N], of which `segment` [N] says where each belongs; 0 where there is none."""
    return values.new_zeros(num_segments).index_add(0, segment, values)


def segment_max(values: Tensor, segment: Tensor, start: Tensor) -> Tensor:
    """The maxima of `values` [N] and of `start` [segments], without gradient."""
    return start.detach().scatter_reduce(0, segment, values.detach(), "amax")
