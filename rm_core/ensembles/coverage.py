"""Risk and coverage: how often the pairs are wrong that are left when the most doubtful are set aside."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["RiskCoverage", "pair_spread", "risk_coverage"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RiskCoverage:
    """A selective ranker's curve. Source: Y. Geifman and R. El-Yaniv, arXiv 1705.08500."""

    coverage: tuple[float, ...]
    """Shares of the pairs that are kept, rising to 1."""
    risk: tuple[float, ...]
    """Of those, the share that is wrong; equal rewards count half."""
    area: float
    """Mean risk over all numbers of kept pairs; the lower the better. The risk of doubt at random is that of all."""


def pair_spread(margins: Floats) -> Floats:
    """Standard deviation over the members of `margins` [M, P], NaN where one does not read the pair; [P]."""
    return np.asarray(np.nanstd(margins, axis=0))


def risk_coverage(margins: Floats, doubt: Floats, points: int = 20) -> RiskCoverage:
    """The curve of `margins` [P], at least one, when pairs of the highest `doubt` [P] go first.

    Pairs of equal doubt go in or out together, as by a threshold; a pair's risk among them is their mean.
    """
    wrong = (margins < 0) + 0.5 * (margins == 0)
    _, group = np.unique(doubt, return_inverse=True)
    mean_of_group = np.bincount(group, weights=wrong) / np.bincount(group)
    order = np.argsort(group, kind="stable")
    risks = np.cumsum(mean_of_group[group[order]]) / np.arange(1, len(wrong) + 1)
    kept = np.unique(np.ceil(np.linspace(0, 1, points + 1)[1:] * len(wrong)).astype(np.int64))
    return RiskCoverage(
        coverage=tuple((kept / len(wrong)).tolist()),
        risk=tuple(risks[kept - 1].tolist()),
        area=float(risks.mean()),
    )
