"""From what a judge says about pairs of answers to one reward an answer."""

from torch import Tensor, nn

from rm_core.batches.verdicts import Verdicts

__all__ = ["VerdictHead", "log_odds", "rewards_of"]


class VerdictHead(nn.Module):
    """Stands where other reward models have a head, without weights: what a judge says comes from its language head."""

    def initialise(self, seed: int) -> None:
        """There is nothing to make."""

    def forward(self, costs: Tensor, verdicts: Verdicts, num_answers: int) -> Tensor:
        """As `rewards_of`."""
        return rewards_of(costs, verdicts, num_answers)


def log_odds(costs: Tensor) -> Tensor:
    """Log P(the first is better) - log P(the second is) of each question, [Q], from the costs [2 Q] of both verdicts.

    How likely all other tokens are plays no part.
    """
    first, second = costs.view(-1, 2).unbind(1)
    return second - first


def rewards_of(costs: Tensor, verdicts: Verdicts, num_answers: int) -> Tensor:
    """Float32 [R] of R = `num_answers` answers: rewards whose differences fit the judge's log-odds best.

    Of two answers their difference is the mean log-odds of both orders. Of K answers that were all compared, a reward
    is the mean over all K of the log-odds against each, against itself 0: the fit by least squares (Jiang et al. 2011,
    "Statistical ranking and combinatorial Hodge theory", of a complete graph). They sum to 0.
    """
    shares = log_odds(costs) * verdicts.share
    rewards = shares.new_zeros(num_answers)
    return rewards.index_add(0, verdicts.first, shares).index_add(0, verdicts.second, -shares)
