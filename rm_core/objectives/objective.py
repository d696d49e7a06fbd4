"""`Objective`: the head's output for one row and its labels -> sums and counts.

An objective never divides by what a row holds: the trainer divides by counts of the whole optimiser step over all
ranks, so that the gradient does not depend on how the step was split into ranks and packed rows.
"""

import torch
from torch import Tensor

from data_pipeline.errors import RecipeError
from rm_core.batches.labels import Labels
from rm_core.objectives.config import LISTWISE, TIES, ObjectiveConfig, check_objective_config
from rm_core.objectives.listwise import plackett_luce, top1
from rm_core.objectives.matches import (
    check_scores,
    comparison_weights,
    matches_of,
    score_shares,
    vote_shares,
)
from rm_core.objectives.pairwise import davidson, means, rao_kupper, soft_cost, win_cost
from rm_core.objectives.terms import Judged, Term, Unit, batch_zero, length_normalised, squared_rewards, squared_sums

__all__ = ["Objective"]


class Objective:
    """What a recipe's `train.objective` says, as a function of a row.

    Raises:
        RecipeError: a value of the config is out of range, or would not be read.
    """

    def __init__(self, config: ObjectiveConfig) -> None:
        check_objective_config(config)
        self._config = config
        self._soft = config.labels != "ranks"
        self._over_matches = self._soft or config.name in TIES
        self._reads_scores = self._soft or config.score_margin > 0

    @property
    def term_names(self) -> tuple[str, ...]:
        """The terms that a call returns."""
        config = self._config
        switched = {
            "zero": config.zero_coefficient,
            "batch_zero": config.batch_zero_coefficient,
            "l2": config.l2_coefficient,
        }
        return ("rank", *(name for name, coefficient in switched.items() if coefficient))

    @property
    def needs_step_mean(self) -> bool:
        """Whether a call needs `step_mean`: the mean of `rewards` over all responses of the optimiser step."""
        return self._config.batch_zero_coefficient > 0

    def rewards(self, output: Tensor, labels: Labels) -> Tensor:
        """Float32 [J], the rewards that every term and metric sees: means, normalised by length where asked for. Of
        rows without grouped Comparisons J = R; else a response counts for each of its judgements.

        Raises:
            ValueError: the shapes do not fit.
            RecipeError: the objective needs scalars, and the output has variances.
        """
        return means(self._prepare(output, labels))

    def __call__(self, output: Tensor, labels: Labels, *, step_mean: Tensor | None = None) -> Judged:
        """Judge one row; a row without responses gives zeros that still have a gradient function.

        Args:
            output: float [R], or [R, 2] with means and log-variances; anything but float32 is cast to it.
            labels: of the same row, on any device. Left on the CPU, where the loader made them, nothing waits for a
                GPU; on a GPU, looking at scores and at ties does.
            step_mean: detached scalar, mean of `rewards` over all judged responses of the step on all ranks.

        Raises:
            ValueError: shapes do not fit, or `step_mean` is missing where it is needed.
            RecipeError: the objective needs scalars, and the output has variances.
            RunError: a score is needed and missing; names the Comparison.
        """
        if self._reads_scores:
            check_scores(labels, votes=self._config.labels == "votes")
        # What needs lengths of parts is made where the labels lie, before they follow the output.
        indices = _sent(matches_of(labels) if self._over_matches else labels.pairs, output.device)
        labels = labels.to(output.device)
        output = self._prepare(output, labels)
        rewards = means(output)
        margins = (rewards[labels.pairs[0]] - rewards[labels.pairs[1]]).detach()
        return Judged(
            terms={"rank": self._rank(output, labels, indices), **self._regularisers(rewards, labels, step_mean)},
            num_correct=(margins > 0).sum(),
            margin_sum=margins.sum(),
        )

    def _prepare(self, output: Tensor, labels: Labels) -> Tensor:
        """The output of every judged response as float32, checked and normalised by length."""
        rows = labels.num_outputs
        if tuple(output.shape) not in ((rows,), (rows, 2)):
            raise ValueError(f"output of shape {list(output.shape)} for {rows} responses: give [{rows}] or [{rows}, 2]")
        if output.ndim == 2 and self._config.name != "bradley_terry":
            raise RecipeError(
                f"train.objective.name={self._config.name} needs one number a response, and the head gives a mean and "
                "a variance: set train.head.uncertainty=false, or train.objective.name=bradley_terry"
            )
        output = output.float()
        if labels.shared is not None:  # one row of the output for each judgement: what separate Comparisons would give
            output = output[labels.shared.index.to(output.device, non_blocking=True)]
        if self._config.length_normalisation:
            output = length_normalised(output, labels.lengths.to(output.device, non_blocking=True))
        return output

    def _rank(self, output: Tensor, labels: Labels, indices: Tensor) -> Term:
        if self._config.name in LISTWISE:
            costs = (plackett_luce if self._config.name == "plackett_luce" else top1)(output, labels)
            return Term(costs.sum(), "comparisons", labels.num_comparisons)
        costs = self._costs(output, labels, indices)
        return self._weighted(costs, indices, labels, "matches" if self._over_matches else "pairs")

    def _costs(self, output: Tensor, labels: Labels, indices: Tensor) -> Tensor:
        """[N], of each pair or match of `indices` [2, N]."""
        config, (first, second) = self._config, indices
        if config.labels == "scores":
            return soft_cost(output, first, second, score_shares(labels, indices, config.label_temperature))
        if config.labels == "votes":
            share, evidence = vote_shares(labels, indices)
            return evidence * soft_cost(output, first, second, share)
        if config.name == "bradley_terry":
            return win_cost(output, first, second, self._margin(labels))
        gap = output[first] - output[second]
        turned = labels.ranks[first] > labels.ranks[second]
        cost = rao_kupper if config.name == "rao_kupper" else davidson
        return cost(gap.where(~turned, -gap), labels.ranks[first] == labels.ranks[second], config.tie_parameter)

    def _margin(self, labels: Labels) -> Tensor | float:
        if self._config.score_margin == 0:
            return self._config.margin
        score_gap = labels.scores[labels.pairs[0]] - labels.scores[labels.pairs[1]]
        return self._config.margin + self._config.score_margin * score_gap

    def _regularisers(self, rewards: Tensor, labels: Labels, step_mean: Tensor | None) -> dict[str, Term]:
        config, terms = self._config, {}
        if config.zero_coefficient:
            costs = config.zero_coefficient * squared_sums(rewards, labels.pairs)
            terms["zero"] = self._weighted(costs, labels.pairs, labels, "pairs")
        if self.needs_step_mean:
            if step_mean is None:
                raise ValueError("train.objective.batch_zero_coefficient is above 0: give the step's mean reward")
            share = config.batch_zero_coefficient * batch_zero(rewards, step_mean)
            terms["batch_zero"] = Term(share, "responses", labels.num_responses)
        if config.l2_coefficient:
            total = config.l2_coefficient * squared_rewards(rewards).sum()
            terms["l2"] = Term(total, "responses", labels.num_responses)
        return terms

    def _weighted(self, costs: Tensor, indices: Tensor, labels: Labels, unit: Unit) -> Term:
        """The sum over pairs or matches in `unit`, or over Comparisons, each spread over its own."""
        if self._config.weighting == "pair":
            return Term(costs.sum(), unit, len(costs))
        return Term((costs * comparison_weights(indices, labels)).sum(), "comparisons", labels.num_comparisons)


def _sent(made: Tensor, device: torch.device) -> Tensor:
    """On `device`; a GPU takes it from page-locked memory, since a copy from any other would wait for it."""
    if device.type == "cuda" and not (made.is_cuda or made.is_pinned()):
        made = made.pin_memory()
    return made.to(device, non_blocking=True)
