"""Listwise objectives: what the judged order of a whole Comparison costs, by log-sum-exp over its responses.

Only differences of rewards of one Comparison enter, so a shift of all its rewards changes nothing.
"""

import torch
from torch import Tensor

from rm_core.batches.labels import Labels
from rm_core.objectives.matches import segment_max, segment_sum

__all__ = ["plackett_luce", "top1"]


def plackett_luce(rewards: Tensor, labels: Labels) -> Tensor:
    """-log P(a response is chosen first among itself and all that are strictly worse), [R]; 0 where none is worse.

    Without ties the sum over a Comparison is the likelihood of its order (Plackett, 1975; ListMLE of Xia and others,
    2008). Equals are not compared with each other, as in Bradley-Terry: a tied response stays out of the choices of
    its equals. That is a composite likelihood (Lindsay, 1988; for random utilities Zhao and Xia, 2018). It is the exact
    marginal likelihood over all orders of the equals (Kalbfleisch and Prentice, 1973) where only the worst are tied,
    and else an upper bound of its cost, at a price of K^2 and not of K!. Breslow's approximation (1974) would pull
    equals together and never reach 0.

    Rewards 2, 1, 0 with ranks 0, 1, 2 cost 0.4076 + 0.3133 + 0; with ranks 0, 0, 1 they cost 0.1269 + 0.3133 + 0.

    Args:
        rewards: [R].
    """
    better, worse = labels.pairs
    gaps = rewards[worse] - rewards[better]
    # The response itself is the 0 beside its gaps: top is at least 0, and log1p keeps costs far below 1 exact.
    top = segment_max(gaps, better, torch.zeros_like(rewards))
    rest = segment_sum(torch.exp(gaps - top[better]), better, len(rewards))
    return top + torch.log1p(torch.expm1(-top) + rest)


def top1(rewards: Tensor, labels: Labels) -> Tensor:
    """Cross entropy of the softmax over a Comparison's responses against its best one, [C].

    Several best ones share the target alike, which pulls them together; the order of the others is not read. This is
    ListNet with a target for the top place only (Cao and others, 2007).

    Rewards 2, 1, 0 with ranks 0, 1, 2 cost 0.4076; with ranks 0, 0, 1 they cost 0.9076.

    Args:
        rewards: [R].
    """
    owner, count = labels.comparison, labels.num_comparisons
    top = segment_max(rewards, owner, rewards.new_full((count,), -torch.inf))
    below = rewards - top[owner]
    best_rank = labels.ranks.new_zeros(count).scatter_reduce(0, owner, labels.ranks, "amin", include_self=False)
    best = (labels.ranks == best_rank[owner]).to(rewards.dtype)
    target = segment_sum(best * below, owner, count) / segment_sum(best, owner, count)
    return torch.log(segment_sum(torch.exp(below), owner, count)) - target
