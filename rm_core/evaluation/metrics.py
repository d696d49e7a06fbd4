"""How well rewards agree with labels: the one function that turns scored Comparisons into a report."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from data_pipeline.errors import RunError
from rm_core.evaluation import curves
from rm_core.evaluation.best_of_n import best_of_n
from rm_core.evaluation.curve import log_loss
from rm_core.evaluation.intervals import Resampling, cluster_interval, difference_interval
from rm_core.evaluation.pairs import PairTable, longer_wins, pair_table, right_or_alike
from rm_core.evaluation.results import Accuracy, BlankImages, EvaluationReport, Gain, Group, Share
from rm_core.scoring.scored import ScoredComparison, check_finite

__all__ = ["evaluate"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def evaluate(
    scored: Sequence[ScoredComparison], *, confidence: float = 0.95, bootstrap_samples: int = 1000, seed: int = 0
) -> EvaluationReport:
    """Measure `scored` over all ordered pairs: ranks (0, 1, 1) make two pairs and one tied label.

    The result does not depend on the order of the Comparisons or of the responses inside them.

    Args:
        scored: at least one Comparison with finite rewards.
        confidence: of every interval, between 0 and 1.
        bootstrap_samples: draws an interval; whole groups of Comparisons are drawn.
        seed: of the draws.

    Raises:
        UserError: a Comparison has no group.
        RunError: nothing was given, no pair of labels differs, or a reward is NaN or infinite.
        ValueError: `confidence` or `bootstrap_samples` is out of range.
    """
    resampling = Resampling(confidence=confidence, samples=bootstrap_samples, seed=seed)
    if not scored:
        raise RunError("0 comparisons to evaluate: the held-out split is empty; raise heldout_fraction or name a file")
    check_finite(scored)
    table = pair_table(scored)
    if not len(table.margin):
        raise RunError(f"all labels of the {len(scored)} comparisons tie, so none can be ranked; check the ranks")
    everything = np.ones(len(table.source), dtype=np.bool_)
    bins = curves.calibration(table.margin)
    return EvaluationReport(
        overall=_group(table, everything, resampling),
        by_source=_groups(table, {str(name): table.source == name for name in np.unique(table.source)}, resampling),
        by_num_responses=_groups(
            table, {str(count): table.num_responses == count for count in np.unique(table.num_responses)}, resampling
        ),
        by_modality=_groups(table, {"image": table.has_images, "text": ~table.has_images}, resampling),
        blank_images=_blank_images(table, resampling),
        best_of_n=best_of_n(scored, resampling),
        log_loss=log_loss(table),
        reward_length_spearman=curves.spearman(table.reward, table.response_length),
        num_comparisons=len(scored),
        num_groups=len(np.unique(table.group)),
        num_unordered=int((table.num_pairs == 0).sum()),
        calibration=bins,
        calibration_error=curves.calibration_error(bins),
        margins=curves.margin_histogram(table.margin),
        rewards_by_length=curves.rewards_by_length(table.reward, table.response_length),
        confidence=confidence,
        bootstrap_samples=bootstrap_samples,
        seed=seed,
    )


def _groups(table: PairTable, members: dict[str, Bools], resampling: Resampling) -> dict[str, Group]:
    """A Group for each set of members, without those that hold no ordered pair."""
    return {
        name: _group(table, inside, resampling) for name, inside in members.items() if table.num_pairs[inside].sum() > 0
    }


def _group(table: PairTable, members: Bools, resampling: Resampling) -> Group:
    """Measure the Comparisons where `members` [N] is set; they hold at least one ordered pair."""
    ordered = members & (table.num_pairs > 0)
    margins = table.margin[ordered[table.comparison]]
    top1 = table.top1[ordered].astype(np.float64)
    return Group(
        accuracy=_accuracy(table, table.margin, ordered, resampling),
        length_only=_share(table, longer_wins(table.length_gap), ordered, resampling),
        over_length=_gain(table, _right(table.margin), longer_wins(table.length_gap), ordered, resampling),
        top1=Share(
            value=float(top1.sum() / len(top1)),
            interval=cluster_interval(top1, np.ones(len(top1)), table.group[ordered], resampling),
        ),
        mean_margin=math.fsum(margins) / len(margins),
        tied_labels=int(table.tied_labels[members].sum()),
    )


def _accuracy(table: PairTable, margins: Floats, ordered: Bools, resampling: Resampling) -> Accuracy:
    """Accuracy of `margins` [P] over the Comparisons where `ordered` [N] is set, each with an ordered pair."""
    share = _share(table, _right(margins), ordered, resampling)
    inside = margins[ordered[table.comparison]]
    return Accuracy(
        value=share.value,
        interval=share.interval,
        num_comparisons=int(ordered.sum()),
        num_groups=len(np.unique(table.group[ordered])),
        num_pairs=len(inside),
        right=int((inside > 0).sum()),
        tied_rewards=int((inside == 0).sum()),
    )


def _share(table: PairTable, credit: Floats, ordered: Bools, resampling: Resampling) -> Share:
    """Mean `credit` [P], each 0 to 1, over the pairs of the Comparisons where `ordered` [N] is set."""
    credits, pairs = _per_comparison(table, credit)[ordered], table.num_pairs[ordered].astype(np.float64)
    return Share(
        value=float(credits.sum() / pairs.sum()),
        interval=cluster_interval(credits, pairs, table.group[ordered], resampling),
    )


def _gain(table: PairTable, credit: Floats, other: Floats, ordered: Bools, resampling: Resampling) -> Gain:
    """Mean of `credit` [P] less that of `other` [P], over the pairs of the Comparisons where `ordered` [N] is set."""
    one, two = (_per_comparison(table, values)[ordered] for values in (credit, other))
    pairs = table.num_pairs[ordered].astype(np.float64)
    return Gain(
        value=float((one - two).sum() / pairs.sum()),
        interval=difference_interval(one, two, pairs, table.group[ordered], resampling),
    )


def _right(margins: Floats) -> Floats:
    return (margins > 0).astype(np.float64)


def _per_comparison(table: PairTable, credit: Floats) -> Floats:
    """Sum of `credit` [P] by Comparison [N]."""
    return np.bincount(table.comparison, weights=credit, minlength=len(table.source)).astype(np.float64)


def _blank_images(table: PairTable, resampling: Resampling) -> BlankImages | None:
    """Real against blank images, over the Comparisons that were scored with both."""
    both = table.has_blank & (table.num_pairs > 0)
    if not both.any():
        return None
    still = right_or_alike(table.margin, table.blank_margin)
    real = _accuracy(table, table.margin, both, resampling)
    share = _share(table, still, both, resampling)
    blank = replace(_accuracy(table, table.blank_margin, both, resampling), value=share.value, interval=share.interval)
    gain = _gain(table, _right(table.margin), still, both, resampling)
    return BlankImages(real=real, blank=blank, gain=gain.value, gain_interval=gain.interval)
