"""What a change of all pictures, answers or prompts does to the choices of a model.

Letters of shapes: P ordered pairs.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rm_core.evaluation.diagnostics.rules import Choices, credit_of, is_below_chance, share_of
from rm_core.evaluation.intervals import Resampling, difference_interval
from rm_core.evaluation.names import FORMAT_PROBES, PICTURE_PROBES
from rm_core.evaluation.pairs import right_or_alike
from rm_core.evaluation.results import Gain, Share
from rm_core.scoring.scored import ScoredComparison, group_codes

__all__ = ["ProbeCheck", "Probed", "check_probe", "is_shortcut", "num_tests"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Probed:
    """The rewards of one Comparison's answers after a change.

    Attributes:
        rewards: of each response, in its own order; None where the change could not be made.
        error: why, as ``reason: detail``; "" where there are rewards.
        changed: whether a response's own text changed; empty where the change is not in the responses.
    """

    rewards: tuple[float, ...] | None
    error: str = ""
    changed: tuple[bool, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ProbeCheck:
    """One change, measured on the Comparisons that were scored with it and without.

    Equal rewards are not right; those that only the change made equal count half.
    """

    name: str
    num_comparisons: int
    """Comparisons scored both ways that hold an ordered pair."""
    left_out: dict[str, int]
    """Comparisons that were not scored with it, by reason."""
    before: Share
    """Accuracy without the change."""
    after: Share
    """Accuracy with it."""
    loss: Gain
    """`before` less `after`."""
    switched: float
    """Share of pairs of which another answer is chosen."""
    num_changed: int
    """Responses that are read with the change: for `markdown_stripped` those that had any."""
    mean_change: float
    """Mean of their rewards with the change less those without; 0 where there is none."""
    only_worse: Share | None
    """Accuracy where of each pair only the worse answer has the change; None where answers are not what changes."""
    only_better: Share | None
    """Accuracy where only the better one has."""
    is_shortcut: bool
    """See `is_shortcut`."""


@dataclass(frozen=True)
class _Pairs:
    """Margins of P ordered pairs: better less worse."""

    before: Floats
    after: Floats
    only_worse: Floats
    only_better: Floats
    worse_changed: npt.NDArray[np.bool_]
    better_changed: npt.NDArray[np.bool_]
    groups: Ints


def num_tests(name: str) -> int:
    """How many ways `is_shortcut` looks at a probe."""
    return 1 if name in PICTURE_PROBES else 2 if name in FORMAT_PROBES else 0


def check_probe(
    name: str,
    scored: Sequence[ScoredComparison],
    probed: Sequence[Probed],
    resampling: Resampling,
    verdict: Resampling,
) -> ProbeCheck | None:
    """The numbers of a probe; None where no ordered pair was scored with it.

    Args:
        probed: of the same Comparisons, in the same order.
        verdict: the intervals by which `is_shortcut` is decided.
    """
    pairs, changes = _pairs(scored, probed)
    if not len(pairs.groups):
        return None
    right = (pairs.before > 0).astype(np.float64)
    still = right_or_alike(pairs.before, pairs.after)
    loss = Gain(
        value=float((right - still).sum() / len(right)),
        interval=difference_interval(right, still, np.ones(len(right)), pairs.groups, resampling),
    )
    in_answers = name in FORMAT_PROBES
    return ProbeCheck(
        name=name,
        num_comparisons=sum(
            two.rewards is not None and len(set(one.ranks)) > 1 for one, two in zip(scored, probed, strict=True)
        ),
        left_out=dict(sorted(Counter(two.error.partition(":")[0] for two in probed if two.rewards is None).items())),
        before=share_of(right, pairs.groups, resampling),
        after=share_of(still, pairs.groups, resampling),
        loss=loss,
        switched=float((np.sign(pairs.before) != np.sign(pairs.after)).sum() / len(right)),
        num_changed=len(changes),
        mean_change=float(np.mean(changes)) if changes else 0.0,
        only_worse=_bought(pairs.only_worse, pairs.worse_changed, pairs, resampling) if in_answers else None,
        only_better=_bought(pairs.only_better, pairs.better_changed, pairs, resampling) if in_answers else None,
        is_shortcut=is_shortcut(name, pairs, verdict),
    )


def is_shortcut(name: str, pairs: _Pairs, verdict: Resampling) -> bool:
    """Whether a probe shows that the score rests on something else than what the answers say.

    pictures   the accuracy is clearly above chance, and clearly more than half of what it has over chance is there
               without the pictures
    format     a change of form in one of two answers makes the model choose clearly against the label: it is right in
               less than half of the pairs whose worse answer (or whose better one) has the change
    """
    if name in PICTURE_PROBES:
        with_them, without = credit_of(pairs.before), credit_of(pairs.after)
        if share_of(with_them, pairs.groups, verdict).interval.low <= 0.5:
            return False
        # (without - 1/2) > (with - 1/2) / 2, times 2
        ones = np.ones(len(without))
        return difference_interval(2 * without, with_them, ones, pairs.groups, verdict).low > 0.5
    if name not in FORMAT_PROBES:
        return False
    for margins, changed in ((pairs.only_worse, pairs.worse_changed), (pairs.only_better, pairs.better_changed)):
        credit = credit_of(margins[changed])
        if is_below_chance(Choices(credit, credit, pairs.groups[changed]), verdict):
            return True
    return False


def _bought(margins: Floats, changed: npt.NDArray[np.bool_], pairs: _Pairs, resampling: Resampling) -> Share | None:
    right = (margins[changed] > 0).astype(np.float64)
    return share_of(right, pairs.groups[changed], resampling) if len(right) else None


def _pairs(scored: Sequence[ScoredComparison], probed: Sequence[Probed]) -> tuple[_Pairs, list[float]]:
    """All ordered pairs that were scored both ways, and the change of each reward that changed."""
    rows: list[tuple[float, float, float, float, bool, bool, int]] = []
    changes: list[float] = []
    for one, two, group in zip(scored, probed, group_codes(scored).tolist(), strict=True):
        if two.rewards is None:
            continue
        own, other = one.rewards, two.rewards
        changed = two.changed or (True,) * len(own)
        changes += [after - before for before, after, does in zip(own, other, changed, strict=True) if does]
        rows += [
            (own[i] - own[j], other[i] - other[j], own[i] - other[j], other[i] - own[j], changed[j], changed[i], group)
            for i, better in enumerate(one.ranks)
            for j, worse in enumerate(one.ranks)
            if better < worse
        ]
    columns = list(zip(*rows, strict=True)) if rows else [()] * 7
    before, after, only_worse, only_better = (np.array(column, dtype=np.float64) for column in columns[:4])
    found = _Pairs(
        before=before,
        after=after,
        only_worse=only_worse,
        only_better=only_better,
        worse_changed=np.array(columns[4], dtype=np.bool_),
        better_changed=np.array(columns[5], dtype=np.bool_),
        groups=np.array(columns[6], dtype=np.int64),
    )
    return found, changes
