"""Two models on the same Comparisons, against numbers worked out by hand."""

import doctest
import itertools
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest

from data_pipeline.errors import RunError, UserError
from rm_core.evaluation import paired
from rm_core.evaluation.matching import match
from rm_core.evaluation.paired import compare_paired, compare_paired_seeds
from rm_core.evaluation.sign_test import sign_flip_p_value
from rm_core.scoring.scored import ScoredComparison


def pair(
    id: object, right: bool, *, source: str = "s", images: int = 0, ranks: Sequence[int] = (0, 1), group: str = ""
) -> ScoredComparison:
    """Two responses, ranked as labelled or the other way round."""
    rewards = tuple(float(-rank if right else rank) for rank in ranks)
    return ScoredComparison(
        str(id), source, rewards, tuple(ranks), (3,) * len(ranks), images, group=group or f"{source}/{id}"
    )


def two(rights: Sequence[tuple[bool, bool]]) -> tuple[list[ScoredComparison], list[ScoredComparison]]:
    """A and B on as many pairs; each entry says whether A and whether B is right."""
    return [pair(i, a) for i, (a, _) in enumerate(rights)], [pair(i, b) for i, (_, b) in enumerate(rights)]


HUNDRED = [(True, True)] * 60 + [(False, True)] * 10 + [(True, False)] * 4 + [(False, False)] * 26
"""A has 64 right, B 70; 14 discordant, 10 to 4."""


def test_counts_differences_and_the_exact_test_are_those_of_the_hand() -> None:
    found = compare_paired(*two(HUNDRED))
    assert (found.a_accuracy, found.b_accuracy) == (0.64, 0.70)
    assert found.difference == pytest.approx(0.06)
    assert (found.a_better, found.b_better, found.num_comparisons, found.num_pairs) == (4, 10, 100, 100)
    # McNemar: 2 * P(at most 4 of 14) = 2 * (1 + 14 + 91 + 364 + 1001) / 2^14
    assert found.p_value == pytest.approx(2 * 1471 / 2**14)
    assert not found.is_clear()
    # Variance of a Comparison's difference: 0.14 - 0.06^2; (1.95996 + 0.84162)^2 * 0.1364 / 0.06^2 = 297.4
    assert found.needed == 298
    assert found.detectable == pytest.approx(2.80158 * math.sqrt(0.1364 / 100), rel=1e-4)


def test_the_interval_is_that_of_the_paired_differences() -> None:
    found = compare_paired(*two(HUNDRED), bootstrap_samples=20_000)
    normal = 1.96 * math.sqrt(0.1364 / 100)
    assert found.interval.low == pytest.approx(0.06 - normal, abs=0.006)
    assert found.interval.high == pytest.approx(0.06 + normal, abs=0.006)
    # Unpaired, the same accuracies would leave twice as much open: sqrt(0.64 * 0.36 + 0.7 * 0.3) / 10 = 0.066.
    assert found.interval.high - found.interval.low < 0.75 * 2 * 1.96 * 0.0664


def test_a_clear_difference_is_clear() -> None:
    found = compare_paired(*two([*HUNDRED[:60], *[(False, True)] * 30, *[(True, False)] * 10]))
    assert found.is_clear() and found.interval.low > 0 and found.p_value < 0.01


def test_groups_hold_their_own_comparisons() -> None:
    a = [pair(i, i % 2 == 0, source="photos", images=1) for i in range(10)] + [pair(i, True) for i in range(10)]
    b = [pair(i, True, source="photos", images=1) for i in range(10)] + [pair(i, i != 3) for i in range(10)]
    found = compare_paired(a, b)
    assert {name: round(one.difference, 9) for name, one in found.by_group.items()} == {
        "image": 0.5, "text": -0.1, "photos": 0.5, "s": -0.1,
    }  # fmt: skip
    assert found.difference == pytest.approx(0.2)
    assert found.by_group["photos"].num_comparisons == 10
    same_name = compare_paired([pair(0, True, source="text")], [pair(0, False, source="text")])
    assert sorted(same_name.by_group) == ["source/text", "text"]


def test_groups_of_responses_count_pairs_and_stay_whole() -> None:
    three = (0, 1, 2)
    a = [pair("k", True, ranks=three), pair("p", True)]
    b = [pair("k", False, ranks=three), pair("p", True)]
    found = compare_paired(a, b)
    assert (found.num_pairs, found.num_comparisons, found.a_better) == (4, 2, 1)
    assert found.difference == pytest.approx(-3 / 4)
    assert found.p_value == 1.0  # one discordant Comparison, both signs are as far from 0


def test_no_difference_at_all_is_no_certainty() -> None:
    found = compare_paired(*two([(True, True)] * 100))
    assert (found.difference, found.p_value, found.needed) == (0.0, 1.0, None)
    # Wilson's upper end of 0 among 100: z^2 / (100 + z^2)
    assert found.interval.high == pytest.approx(3.8415 / 103.8415, rel=1e-4)
    assert found.interval.low == -found.interval.high
    all_better = compare_paired(*two([(False, True)] * 3))
    assert all_better.difference == 1.0
    assert all_better.interval.low < 0 and all_better.interval.high == 1.0 and not all_better.is_clear()


def test_order_does_not_matter_and_sides_mirror() -> None:
    a, b = two(HUNDRED)
    there, back = compare_paired(a, b), compare_paired(random.Random(1).sample(b, 100), a)
    assert back.difference == -there.difference
    assert back.p_value == there.p_value
    assert (back.a_better, back.b_better) == (there.b_better, there.a_better)
    assert compare_paired(random.Random(2).sample(a, 100), b) == there


@pytest.mark.parametrize("differences", [[1, -1, 1, 1], [3, -1, 0, 2, 2], [6, 5, -1, 1, -2, 3, 3], [0, 0], [1] * 12])
def test_the_test_counts_all_signs(differences: list[int]) -> None:
    seen = abs(sum(differences))
    sums = [
        sum(sign * one for sign, one in zip(signs, differences, strict=True))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    share = sum(abs(one) >= seen for one in sums) / len(sums)
    assert sign_flip_p_value(np.array(differences)) == pytest.approx(share, abs=1e-12)


def test_the_test_holds_its_level_and_its_power() -> None:
    """Equal models are called different in at most 5 of 100, and as many Comparisons as `needed` find 8 of 10."""
    draw = np.random.default_rng(0)
    null = [sign_flip_p_value(draw.choice([-1, 0, 1], p=[0.1, 0.8, 0.1], size=400)) for _ in range(1000)]
    assert np.mean(np.array(null) <= 0.05) < 0.06
    # 0.12 against 0.06 of all: variance 0.18 - 0.06^2, so 7.849 * 0.1764 / 0.0036 = 385 Comparisons
    found = [sign_flip_p_value(draw.choice([-1, 0, 1], p=[0.06, 0.82, 0.12], size=385)) for _ in range(1000)]
    assert 0.7 < np.mean(np.array(found) <= 0.05) < 0.87


def test_many_discordant_comparisons_are_quick_and_finite() -> None:
    many = np.concatenate([np.repeat([1, -1], [50_500, 49_500]), np.repeat([3, -3], [5_000, 5_000])])
    # Sum 1,000 of variance 100,000 + 9 * 10,000: z = (1,000 - 1) / 435.9 with the step of 2 of such sums halved
    assert sign_flip_p_value(many) == pytest.approx(2 * (1 - 0.98903), abs=1e-3)


def test_different_comparisons_are_refused_with_their_counts() -> None:
    a, b = [pair(i, True) for i in range(5)], [pair(i, False) for i in range(2, 9)]
    with pytest.raises(UserError, match=r"3 in both, 2 only in A, 4 only in B.*--common"):
        compare_paired(a, b)
    both = match(a, b)
    assert compare_paired(both.a, both.b).num_comparisons == 3
    with pytest.raises(UserError, match="no Comparison was scored by both: 0 in both, 5 only in A, 1 only in B"):
        compare_paired(a, [pair(0, True, source="elsewhere")])


def test_other_labels_or_images_are_refused() -> None:
    for other in (pair(1, True, ranks=(1, 0)), pair(1, True, images=1), pair(1, True, ranks=(0, 1, 2))):
        with pytest.raises(UserError, match="comparison '1' of source 's' has ranks"):
            compare_paired([pair(1, True)], [other])


def test_one_id_for_several_comparisons_is_matched_in_order() -> None:
    a = [pair("q", True), pair("q", False)]
    assert compare_paired(a, a).difference == 0
    assert compare_paired(a, [pair("q", False), pair("q", True)]).a_better == 1


def test_seeds_are_added_up_comparison_by_comparison() -> None:
    a, b = two(HUNDRED)
    other_a, other_b = two([(False, True), *HUNDRED[1:]])
    found = compare_paired_seeds([a, other_a], [b, other_b])
    assert (found.num_comparisons, found.num_pairs) == (100, 200)
    assert found.difference == pytest.approx((6 + 7) / 200)
    assert (found.a_better, found.b_better) == (4, 11)  # the 14 with a lead of 2, and one with a lead of 1
    one = compare_paired(a, b)
    twice = compare_paired_seeds([a, a], [b, b])  # a second scoring that adds nothing makes nothing surer
    assert (twice.difference, twice.p_value) == (one.difference, pytest.approx(one.p_value))
    assert (twice.interval.low, twice.needed) == (pytest.approx(one.interval.low), one.needed)
    with pytest.raises(ValueError, match="1 scorings against 2"):
        compare_paired_seeds([a], [b, b])
    with pytest.raises(UserError, match="99 in both"):
        compare_paired_seeds([a, a[1:]], [b, b[1:]])


def test_ties_only_and_damaged_rewards_are_refused() -> None:
    with pytest.raises(RunError, match="all labels of the 1 comparisons tie"):
        compare_paired([pair(0, True, ranks=(0, 0))], [pair(0, True, ranks=(0, 0))])
    broken = ScoredComparison("0", "s", (math.nan, 0.0), (0, 1), (3, 3), 0, group="s/0")
    with pytest.raises(RunError, match="diverged"):
        compare_paired([pair(0, True)], [broken])


def test_the_example_of_the_docstring() -> None:
    assert doctest.testmod(paired).failed == 0
