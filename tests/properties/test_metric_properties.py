"""What must hold of evaluation numbers for any rewards and labels."""

import math
import random
from collections.abc import Callable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from rm_core.evaluation.metrics import evaluate
from rm_core.evaluation.results import EvaluationReport
from rm_core.scoring.scored import ScoredComparison


@st.composite
def comparisons(draw: st.DrawFn) -> ScoredComparison:
    """A Comparison with K = 2..4, at least two different ranks, and rewards that often tie."""
    size = draw(st.integers(2, 4))

    def column(low: int, high: int) -> st.SearchStrategy[list[int]]:
        return st.lists(st.integers(low, high), min_size=size, max_size=size)

    num_images = draw(st.integers(0, 2))
    return ScoredComparison(
        id=draw(st.sampled_from(["a", "b", "c"])),
        source=draw(st.sampled_from(["x", "y"])),
        rewards=tuple(reward / 4 for reward in draw(column(-20, 20))),
        ranks=tuple(draw(column(0, 3).filter(lambda ranks: len(set(ranks)) > 1))),
        response_lengths=tuple(draw(column(1, 30))),
        num_images=num_images,
        group=draw(st.sampled_from(["1", "2", "3", "4"])),
        blank_rewards=tuple(float(reward) for reward in draw(column(-3, 3))) if num_images else None,
    )


MANY = st.lists(comparisons(), min_size=1, max_size=12)


def measure(scored: list[ScoredComparison]) -> EvaluationReport:
    return evaluate(scored, bootstrap_samples=50)


def permuted(one: ScoredComparison, seed: int) -> ScoredComparison:
    """The same Comparison with its responses in another order."""
    order = list(range(len(one.ranks)))
    random.Random(seed).shuffle(order)
    blank = one.blank_rewards
    return replace(
        one,
        rewards=tuple(one.rewards[k] for k in order),
        ranks=tuple(one.ranks[k] for k in order),
        response_lengths=tuple(one.response_lengths[k] for k in order),
        blank_rewards=None if blank is None else tuple(blank[k] for k in order),
    )


@settings(max_examples=50)
@given(MANY, st.integers(0, 1000))
def test_no_order_matters(scored: list[ScoredComparison], seed: int) -> None:
    shuffled = [permuted(one, seed + index) for index, one in enumerate(scored)]
    random.Random(seed).shuffle(shuffled)
    assert measure(shuffled) == measure(scored)


@settings(max_examples=50)
@given(MANY, st.sampled_from([math.exp, math.atan, lambda reward: 3 * reward + 1, lambda reward: reward**3]))
def test_accuracy_sees_only_the_order_of_rewards(
    scored: list[ScoredComparison], rising: Callable[[float], float]
) -> None:
    before = measure(scored)
    after = measure([replace(one, rewards=tuple(rising(reward) for reward in one.rewards)) for one in scored])
    assert after.overall.accuracy == before.overall.accuracy
    assert after.overall.top1 == before.overall.top1
    assert {name: group.accuracy for name, group in after.by_source.items()} == {
        name: group.accuracy for name, group in before.by_source.items()
    }


@settings(max_examples=50)
@given(MANY)
def test_counts_agree(scored: list[ScoredComparison]) -> None:
    report = measure(scored)
    total = report.overall
    assert total.accuracy.num_pairs == sum(a < b for one in scored for a in one.ranks for b in one.ranks)
    assert total.accuracy.num_pairs + total.tied_labels == sum(math.comb(len(one.ranks), 2) for one in scored)
    for groups in (report.by_source, report.by_num_responses, report.by_modality):
        assert sum(group.accuracy.right for group in groups.values()) == total.accuracy.right
        assert sum(group.tied_labels for group in groups.values()) == total.tied_labels
    assert sum(report.margins.counts) == total.accuracy.num_pairs
    assert sum(one.num_pairs for one in report.calibration) == total.accuracy.num_pairs
    assert sum(one.num_responses for one in report.rewards_by_length) == sum(len(one.ranks) for one in scored)


@settings(max_examples=50)
@given(MANY)
def test_turning_the_rewards_around_swaps_right_and_wrong(scored: list[ScoredComparison]) -> None:
    before = measure(scored).overall
    after = measure([replace(one, rewards=tuple(-reward for reward in one.rewards)) for one in scored]).overall
    accuracy = before.accuracy
    assert after.accuracy.right == accuracy.num_pairs - accuracy.right - accuracy.tied_rewards
    assert after.mean_margin == -before.mean_margin
