"""Objectives written naively in float64, one Comparison and one pair after another.

Nothing here is stable at large gaps: rewards stay within about 10 of each other.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from data_pipeline.encoding.encoder import EncodedComparison
from rm_core.batches.labels import Labels, labels_of
from rm_core.objectives.config import ObjectiveConfig
from rm_core.objectives.objective import Objective
from rm_core.objectives.terms import Judged

# Every kind of rank term.
SCALAR_CONFIGS = (
    ObjectiveConfig(),
    ObjectiveConfig(weighting="comparison"),
    ObjectiveConfig(margin=0.7),
    ObjectiveConfig(margin=0.1, score_margin=0.5),
    ObjectiveConfig(labels="scores", label_temperature=1.7),
    ObjectiveConfig(labels="scores", weighting="comparison"),
    ObjectiveConfig(labels="votes"),
    ObjectiveConfig(labels="votes", weighting="comparison"),
    ObjectiveConfig(name="plackett_luce"),
    ObjectiveConfig(name="top1"),
    ObjectiveConfig(name="rao_kupper", tie_parameter=0.4),
    ObjectiveConfig(name="rao_kupper", weighting="comparison"),
    ObjectiveConfig(name="davidson", tie_parameter=0.3),
    ObjectiveConfig(name="davidson", weighting="comparison"),
)
REGULARISED = tuple(
    replace(config, zero_coefficient=0.01, batch_zero_coefficient=0.2, l2_coefficient=0.3, length_normalisation=long)
    for config in (ObjectiveConfig(), ObjectiveConfig(weighting="comparison"), ObjectiveConfig(name="plackett_luce"))
    for long in (False, True)
)
CONFIGS = (*SCALAR_CONFIGS, *REGULARISED)
# Each config with a scalar head, and with one of means and variances where it can read them.
VARIANTS = (
    *((config, False) for config in CONFIGS),
    *((config, True) for config in CONFIGS if config.name == "bradley_terry"),
)


def config_id(config: ObjectiveConfig) -> str:
    """The fields that differ from the default, for names of tests."""
    default = ObjectiveConfig()
    changed = [f"{key}={value}" for key, value in vars(config).items() if value != getattr(default, key)]
    return ",".join(changed) or "default"


@dataclass(frozen=True)
class Case:
    """One Comparison with the head's output for it."""

    ranks: tuple[int, ...]
    rewards: tuple[float, ...]
    scores: tuple[float | None, ...] = ()
    lengths: tuple[int, ...] = ()
    log_variances: tuple[float, ...] = ()
    id: str = "case"

    def encoded(self) -> EncodedComparison:
        return EncodedComparison(
            id=self.id,
            source="toy",
            split="train",
            prefix_ids=np.zeros(1, dtype=np.int32),
            response_ids=tuple(np.zeros(length, dtype=np.int32) for length in self.lengths or (1,) * len(self.ranks)),
            ranks=self.ranks,
            scores=self.scores or (None,) * len(self.ranks),
            images=(),
        )


def random_cases(seed: int, sizes: Sequence[int]) -> list[Case]:
    """Cases with tied ranks, votes as scores (some zero), lengths and log-variances."""
    random = np.random.default_rng(seed)
    return [
        Case(
            ranks=tuple(int(rank) for rank in random.integers(0, max(2, size - 1), size)),
            rewards=tuple(float(reward) for reward in random.normal(0, 2, size)),
            scores=tuple(float(votes) for votes in random.integers(0, 5, size)),
            lengths=tuple(int(length) for length in random.integers(1, 40, size)),
            log_variances=tuple(float(value) for value in random.normal(0, 1, size)),
            id=f"case-{seed}-{place}",
        )
        for place, size in enumerate(sizes)
    ]


def row_of(cases: Sequence[Case], *, uncertain: bool = False) -> tuple[Tensor, Labels]:
    """The head's output of a row of `cases`, a float32 leaf, and its labels."""
    rewards = [reward for case in cases for reward in case.rewards]
    columns = [rewards, [value for case in cases for value in case.log_variances]] if uncertain else [rewards]
    output = torch.tensor(columns, dtype=torch.float32).T.contiguous()
    output = output if uncertain else output[:, 0].clone()
    return output.requires_grad_(), labels_of([case.encoded() for case in cases])


def judged(
    config: ObjectiveConfig, cases: Sequence[Case], *, uncertain: bool = False, step_mean: float | None = None
) -> tuple[Judged, Tensor]:
    """What the objective says, and the gradient of the sum of its terms' sums."""
    output, labels = row_of(cases, uncertain=uncertain)
    mean = None if step_mean is None else torch.tensor(step_mean)
    result = Objective(config)(output, labels, step_mean=mean)
    (gradient,) = torch.autograd.grad(sum(term.sum for term in result.terms.values()), output)
    return result, gradient


def normalised(config: ObjectiveConfig, case: Case) -> Case:
    if not config.length_normalisation:
        return case
    scales = [math.log(length + 1) for length in case.lengths]
    return replace(
        case,
        rewards=tuple(reward / scale for reward, scale in zip(case.rewards, scales, strict=True)),
        log_variances=tuple(
            math.log(math.exp(value) / scale**2) for value, scale in zip(case.log_variances, scales, strict=False)
        ),
    )


def naive(
    config: ObjectiveConfig, cases: Sequence[Case], *, uncertain: bool = False, step_mean: float = 0.0
) -> dict[str, tuple[float, str, int]]:
    """(sum, unit, count) of every term."""
    cases = [normalised(config, case) for case in cases]
    rewards = [reward for case in cases for reward in case.rewards]
    terms = {"rank": _rank(config, cases, uncertain)}
    if config.zero_coefficient:
        parts = [[_zero_cost(config, case, i, j) for i, j in ordered_pairs(case.ranks)] for case in cases]
        terms["zero"] = _weighted(config, parts, "pairs")
    if config.batch_zero_coefficient:
        linear = 2 * step_mean * sum(rewards) - len(rewards) * step_mean**2
        terms["batch_zero"] = (config.batch_zero_coefficient * linear, "responses", len(rewards))
    if config.l2_coefficient:
        terms["l2"] = (config.l2_coefficient * sum(reward**2 for reward in rewards), "responses", len(rewards))
    return terms


def _zero_cost(config: ObjectiveConfig, case: Case, i: int, j: int) -> float:
    return config.zero_coefficient * (case.rewards[i] + case.rewards[j]) ** 2


def ordered_pairs(ranks: Sequence[int]) -> list[tuple[int, int]]:
    return [(i, j) for i, j in itertools.permutations(range(len(ranks)), 2) if ranks[i] < ranks[j]]


def _rank(config: ObjectiveConfig, cases: Sequence[Case], uncertain: bool) -> tuple[float, str, int]:
    if config.name in ("plackett_luce", "top1"):
        cost = plackett_luce if config.name == "plackett_luce" else top1
        return sum(cost(case) for case in cases), "comparisons", len(cases)
    if config.name in ("rao_kupper", "davidson") or config.labels != "ranks":
        return _weighted(config, [_match_costs(config, case, uncertain) for case in cases], "matches")
    return _weighted(config, [_pair_costs(config, case, uncertain) for case in cases], "pairs")


def _weighted(config: ObjectiveConfig, parts: Sequence[Sequence[float]], unit: str) -> tuple[float, str, int]:
    if config.weighting == "comparison":
        return sum(sum(part) / len(part) for part in parts if part), "comparisons", len(parts)
    return sum(map(sum, parts)), unit, sum(map(len, parts))


def _chance(case: Case, i: int, j: int, uncertain: bool, margin: float = 0.0) -> float:
    gap = case.rewards[i] - case.rewards[j] - margin
    if not uncertain:
        return 1 / (1 + math.exp(-gap))
    spread = math.sqrt(math.exp(case.log_variances[i]) + math.exp(case.log_variances[j]))
    return 0.5 * math.erfc(-gap / spread / math.sqrt(2))


def _pair_costs(config: ObjectiveConfig, case: Case, uncertain: bool) -> list[float]:
    costs = []
    for i, j in ordered_pairs(case.ranks):
        extra = config.score_margin * (case.scores[i] - case.scores[j]) if config.score_margin else 0.0
        costs.append(-math.log(_chance(case, i, j, uncertain, config.margin + extra)))
    return costs


def _match_costs(config: ObjectiveConfig, case: Case, uncertain: bool) -> list[float]:
    matches = itertools.combinations(range(len(case.ranks)), 2)
    if config.labels != "ranks":
        return [_soft_cost(config, case, i, j, uncertain) for i, j in matches]
    chances = rao_kupper if config.name == "rao_kupper" else davidson
    costs = []
    for i, j in matches:
        win, tie, loss = chances(case.rewards[i], case.rewards[j], config.tie_parameter)
        seen = win if case.ranks[i] < case.ranks[j] else loss if case.ranks[i] > case.ranks[j] else tie
        costs.append(-math.log(seen))
    return costs


def _soft_cost(config: ObjectiveConfig, case: Case, i: int, j: int, uncertain: bool) -> float:
    a, b = case.scores[i], case.scores[j]
    if config.labels == "votes":
        if a + b == 0:
            return 0.0
        share = a / (a + b)
    else:
        share = 1 / (1 + math.exp(-(a - b) / config.label_temperature))
    first, second = _chance(case, i, j, uncertain), _chance(case, j, i, uncertain)
    return -share * math.log(first) - (1 - share) * math.log(second)


def rao_kupper(r_i: float, r_j: float, log_theta: float) -> tuple[float, float, float]:
    """Win, tie and loss, from worths exp(r)."""
    a, b, theta = math.exp(r_i), math.exp(r_j), math.exp(log_theta)
    return a / (a + theta * b), (theta**2 - 1) * a * b / ((a + theta * b) * (theta * a + b)), b / (b + theta * a)


def davidson(r_i: float, r_j: float, nu: float) -> tuple[float, float, float]:
    """Win, tie and loss, from worths exp(r)."""
    a, b = math.exp(r_i), math.exp(r_j)
    total = a + b + nu * math.sqrt(a * b)
    return a / total, nu * math.sqrt(a * b) / total, b / total


def plackett_luce(case: Case) -> float:
    """-log of the product of the choices of each response among itself and the strictly worse ones."""
    cost = 0.0
    for i, rank in enumerate(case.ranks):
        worse = sum(math.exp(case.rewards[j]) for j in range(len(case.ranks)) if case.ranks[j] > rank)
        cost -= math.log(math.exp(case.rewards[i]) / (math.exp(case.rewards[i]) + worse))
    return cost


def plackett_luce_of_orders(case: Case) -> float:
    """-log of the exact marginal likelihood: the sum over all orders that agree with the ranks."""
    total = 0.0
    for order in itertools.permutations(range(len(case.ranks))):
        if all(case.ranks[a] <= case.ranks[b] for a, b in itertools.pairwise(order)):
            worths = [math.exp(case.rewards[place]) for place in order]
            total += math.prod(worth / sum(worths[place:]) for place, worth in enumerate(worths))
    return -math.log(total)


def top1(case: Case) -> float:
    """Cross entropy of the softmax against the best responses, which share the target."""
    total = sum(math.exp(reward) for reward in case.rewards)
    best = [i for i, rank in enumerate(case.ranks) if rank == min(case.ranks)]
    return -sum(math.log(math.exp(case.rewards[i]) / total) / len(best) for i in best)
