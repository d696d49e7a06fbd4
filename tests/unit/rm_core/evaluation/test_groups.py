"""Comparisons that share an image or a prompt are not independent: intervals and tests draw whole groups.

Checked against a plain reference that draws groups one by one, and by how often intervals hold the true value.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from data_pipeline.errors import UserError
from rm_core.evaluation.intervals import Resampling, cluster_interval, difference_interval
from rm_core.evaluation.metrics import evaluate
from rm_core.evaluation.paired import PairedComparison, compare_paired
from rm_core.evaluation.sign_test import sign_flip_p_value
from rm_core.scoring.scored import ScoredComparison, group_codes

Floats = npt.NDArray[np.float64]


def scored(rights: Sequence[bool], groups: Sequence[str | None], *, images: int = 0) -> list[ScoredComparison]:
    """One pair each, right or wrong; the better answer is the longer one in every third."""
    return [
        ScoredComparison(
            str(place), "captions", (1.0, 0.0) if right else (0.0, 1.0), (0, 1), (5 + 2 * (place % 3 == 0), 6),
            images, group=group,
        )
        for place, (right, group) in enumerate(zip(rights, groups, strict=True))
    ]  # fmt: skip


def drawn_one_by_one(sums: Floats, pairs: Floats, groups: Sequence[int], draws: int) -> tuple[float, float]:
    """The reference: lists of Comparisons by group, drawn with replacement, in plain loops."""
    members: dict[int, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    names, random, found = sorted(members), np.random.default_rng(5), []
    for _ in range(draws):
        chosen = [place for name in random.choice(names, len(names)) for place in members[name]]
        found.append(sum(sums[place] for place in chosen) / sum(pairs[place] for place in chosen))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def grouped(num_groups: int, seed: int, spread: float = 1.2) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Right or wrong [N] and the group [N] of Comparisons: pictures differ in how hard their questions are."""
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 16, num_groups)
    chance = 1 / (1 + np.exp(-spread * random.normal(size=num_groups)))
    groups = np.repeat(np.arange(num_groups), sizes)
    return (random.random(len(groups)) < chance[groups]).astype(np.float64), groups


def test_intervals_are_those_of_groups_drawn_one_by_one() -> None:
    right, groups = grouped(40, 1)
    pairs = np.ones(len(right))
    ours = cluster_interval(right, pairs, groups, Resampling(samples=4000))
    low, high = drawn_one_by_one(right, pairs, groups.tolist(), 1500)
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.02)
    other = grouped(40, 1, spread=0.0)[0][: len(right)]
    ours = difference_interval(right, other, pairs, groups, Resampling(samples=4000))
    low, high = drawn_one_by_one(right - other, pairs, groups.tolist(), 1500)
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.02)


def test_nineteen_of_twenty_intervals_hold_the_true_value() -> None:
    """Which those that take Comparisons as independent do not."""
    held, alone = 0, 0
    for seed in range(200):
        right, groups = grouped(30, seed)
        pairs, quick = np.ones(len(right)), Resampling(samples=300, seed=seed)
        ours = cluster_interval(right, pairs, groups, quick)
        single = cluster_interval(right, pairs, np.arange(len(right)), quick)
        held += ours.low <= 0.5 <= ours.high
        alone += single.low <= 0.5 <= single.high
    assert 0.92 <= held / 200 <= 0.985
    assert alone / 200 < 0.85


@pytest.mark.parametrize("num_groups", [5, 10])
def test_few_groups_of_unlike_sizes_are_not_taken_for_many(num_groups: int) -> None:
    """The hardest case: nine of ten intervals hold, where percentiles alone hold eight of ten."""
    held = 0
    for seed in range(200):
        random = np.random.default_rng(1000 * num_groups + seed)
        groups = np.repeat(np.arange(num_groups), random.integers(1, 60, num_groups) ** 2 // 20 + 1)
        chance = 1 / (1 + np.exp(-random.normal(size=num_groups)))
        right = (random.random(len(groups)) < chance[groups]).astype(np.float64)
        ours = cluster_interval(right, np.ones(len(right)), groups, Resampling(samples=200, seed=seed))
        held += ours.low <= 0.5 <= ours.high
    assert held / 200 > 0.88


def test_one_picture_says_next_to_nothing() -> None:
    report = evaluate(scored([True] * 55 + [False] * 45, ["image:a"] * 100))
    interval = report.overall.accuracy.interval
    assert (report.num_groups, report.overall.accuracy.num_groups) == (1, 1)
    assert interval.low < 0.2 and interval.high > 0.85
    most = scored([True] * 55 + [False] * 45, ["image:a"] * 95 + [f"image:{place}" for place in range(5)])
    interval = evaluate(most).overall.accuracy.interval
    assert interval.low < 0.2 and interval.high > 0.85, "nor does one picture and five others"


def test_the_exact_test_turns_whole_groups_round() -> None:
    groups = ["a"] * 4 + ["b"] * 3 + ["c"] * 2 + ["d"] + ["e"]
    a = [True, True, False, False] + [False] * 3 + [True, False] + [True] + [True]
    b = [True, True, True, True] + [True] * 3 + [True, True] + [False] + [True]
    found = compare_paired(scored(a, groups), scored(b, groups))
    leads = [2, 3, 1, -1, 0]  # of groups
    sums = [abs(sum(sign * lead for sign, lead in zip(signs, leads, strict=True)))
            for signs in itertools.product((-1, 1), repeat=5)]  # fmt: skip
    assert found.p_value == pytest.approx(sum(one >= 5 for one in sums) / len(sums))
    assert (found.num_groups, found.num_comparisons, found.a_better, found.b_better) == (5, 11, 1, 6)
    single = compare_paired(scored(a, list("0123456789x")), scored(b, list("0123456789x")))
    assert single.p_value == pytest.approx(2 * 8 / 2**7) and single.difference == found.difference


def test_the_test_holds_its_level_where_groups_lean_one_way() -> None:
    """Two models that are equally good, each better on half of the pictures; a test by Comparison cries wolf."""
    random = np.random.default_rng(3)
    by_group, alone = [], []
    for _ in range(150):
        sizes, lean = random.integers(1, 12, 40), random.normal(0, 0.35, 40)
        leads = [np.where(random.random(size) < 0.6, 0, np.where(random.random(size) < 0.5 + one, 1, -1))
                 for size, one in zip(sizes, np.clip(lean, -0.5, 0.5), strict=True)]  # fmt: skip
        by_group.append(sign_flip_p_value(np.array([lead.sum() for lead in leads])))
        alone.append(sign_flip_p_value(np.concatenate(leads)))
    assert np.mean(np.array(by_group) <= 0.05) < 0.08
    assert np.mean(np.array(alone) <= 0.05) > 0.1


def paired(groups_a: Sequence[str], groups_b: Sequence[str]) -> PairedComparison:
    a, b = [True, False] * 4, [True] * 8
    return compare_paired(scored(a, groups_a), scored(b, groups_b))


def test_what_either_scoring_connects_is_connected() -> None:
    alike = paired(list("aabbccdd"), list("xxyyzzww"))
    assert alike.num_groups == 4, "other names for the same groups"
    chained = paired(list("aabbccdd"), list("uvvwwxxz"))
    assert chained.num_groups == 1, "A connects 1 and 2, B connects 2 and 3, and so on"
    assert group_codes(scored([True] * 3, list("aab")), scored([True] * 3, list("xyy"))).tolist() == [0, 0, 0]


def test_groups_of_a_part_are_those_that_have_a_pair_in_it() -> None:
    both = [*scored([True, False, True], list("aab")), *scored([False, True], list("bc"), images=1)]
    both = [replace(one, id=str(place)) for place, one in enumerate(both)]
    report = evaluate([*both, replace(both[0], id="tie", ranks=(1, 1), group="z")])
    assert (report.num_groups, report.overall.accuracy.num_groups) == (4, 3)
    assert {name: one.accuracy.num_groups for name, one in report.by_modality.items()} == {"image": 2, "text": 2}
    assert report.numbers()["num_groups"] == 4.0
    assert report.to_json()["by_modality"]["image"]["accuracy"]["num_groups"] == 2


@pytest.mark.parametrize("without", [[None] * 6, ["a", "b", None, "c", "d", "e"]])
def test_rewards_without_groups_are_never_taken_as_independent(without: list[str | None]) -> None:
    rights = [True, False, True, True, False, True]
    with pytest.raises(UserError, match=r"comparison '\d' of source 'captions' has no group.*basereward evaluate"):
        evaluate(scored(rights, without))
    for sides in ((without, list("abcdef")), (list("abcdef"), without)):
        with pytest.raises(UserError, match="has no group"):
            compare_paired(*(scored(rights, side) for side in sides))


def test_top1_is_an_accuracy_of_groups_too() -> None:
    rights, groups = [True] * 30 + [False] * 30, ["a"] * 30 + ["b"] * 30
    assert evaluate(scored(rights, groups)).overall.top1.interval.low < 0.1
    alone = evaluate(scored(rights, [str(place) for place in range(60)])).overall.top1.interval
    assert (alone.low, alone.high) == pytest.approx((0.37, 0.63), abs=0.02)
