"""Evaluation numbers against ones worked out by hand."""

import json
import math
from collections.abc import Sequence
from itertools import combinations
from statistics import mean

import numpy as np
import pytest

from data_pipeline.errors import RunError
from rm_core.evaluation import curves
from rm_core.evaluation.intervals import Resampling, cluster_interval, wilson
from rm_core.evaluation.metrics import evaluate
from rm_core.scoring.scored import ScoredComparison


def scored(
    rewards: Sequence[float],
    ranks: Sequence[int],
    lengths: Sequence[int] | None = None,
    *,
    id: str = "0",
    source: str = "s",
    blank: Sequence[float] | None = None,
    group: str = "",
) -> ScoredComparison:
    return ScoredComparison(
        id=id,
        source=source,
        rewards=tuple(rewards),
        ranks=tuple(ranks),
        response_lengths=tuple(lengths or [5] * len(ranks)),
        num_images=0 if blank is None else 1,
        group=group or f"{source}/{id}",
        blank_rewards=None if blank is None else tuple(blank),
    )


# Three comparisons, K = 2, 3, 4, small enough to count by hand:
# a: one pair, right, margin 1, the better one is shorter.
# b: ranks 0 1 1: two pairs (0>1 margin 2 right, 0>2 margin 0 tied reward), one tied label.
# c: ranks 0 1 2 3, rewards 1 2 0 -1: six pairs, only 0>1 is wrong.
EXAMPLE = [
    scored([1.5, 0.5], [0, 1], [4, 9], id="a", source="x", blank=[0.0, 1.0]),
    scored([3.0, 1.0, 3.0], [0, 1, 1], [7, 7, 3], id="b", source="x"),
    scored([1.0, 2.0, 0.0, -1.0], [0, 1, 2, 3], [8, 6, 4, 2], id="c", source="y", blank=[3.0, 2.0, 1.0, 0.0]),
]


def test_pairs_are_counted_by_hand() -> None:
    group = evaluate(EXAMPLE).overall
    assert group.accuracy.num_comparisons == 3
    assert group.accuracy.num_pairs == 9
    assert group.accuracy.right == 7
    assert group.accuracy.tied_rewards == 1
    assert group.tied_labels == 1
    assert group.accuracy.value == pytest.approx(7 / 9)
    assert group.mean_margin == pytest.approx((1 + 2 + 0 + (-1 + 1 + 2 + 2 + 3 + 1)) / 9)


def test_best_of_n_is_by_k_from_no_choice_to_the_models_pick() -> None:
    curves_of = evaluate(EXAMPLE).best_of_n
    assert {count: [point.n for point in points] for count, points in curves_of.items()} == {
        "3": [1, 2, 3],
        "4": [1, 2, 3, 4],
    }
    # b: the best response wins both, the others half of one; its reward ties with the third's.
    assert [point.model.value for point in curves_of["3"]] == pytest.approx([0.5, (0.625 + 1 + 0.25) / 3, 0.625])
    assert [point.label for point in curves_of["3"]] == pytest.approx([0.5, (1 + 1 + 0.25) / 3, 1.0])
    # c: of all four the second best is picked, which wins two of three; of three it is, or the best where it is not in.
    assert [point.model.value for point in curves_of["4"]][2:] == pytest.approx([(2 + 2 + 2 + 3) / 12, 2 / 3])
    assert [point.num_comparisons for point in curves_of["4"]] == [1, 1, 1, 1]
    assert (curves_of["4"][0].model.interval.low, curves_of["4"][0].model.interval.high) == (0.5, 0.5)


def test_best_of_n_equals_the_mean_over_all_subsets() -> None:
    draw = np.random.default_rng(0)
    many = [
        scored(draw.integers(0, 4, 5).astype(float), draw.integers(0, 4, 5).tolist(), id=str(index))
        for index in range(20)
    ]
    many = [one for one in many if len(set(one.ranks)) > 1]
    for point in evaluate(many).best_of_n["5"]:
        assert point.model.value == pytest.approx(mean([picked(one, one.rewards, point.n) for one in many]))
        wanted = mean([picked(one, [-rank for rank in one.ranks], point.n) for one in many])
        assert point.label == pytest.approx(wanted)


def picked(one: ScoredComparison, scores: Sequence[float], n: int) -> float:
    """Mean win rate of the best-scored response over all subsets of n; of equal ones, their mean."""
    found = []
    for chosen in combinations(range(len(scores)), n):
        best = [k for k in chosen if scores[k] == max(scores[j] for j in chosen)]
        found.append(mean([wins(one, k) for k in best]))
    return mean(found)


def wins(one: ScoredComparison, k: int) -> float:
    others = [rank for j, rank in enumerate(one.ranks) if j != k]
    return mean([(rank > one.ranks[k]) + 0.5 * (rank == one.ranks[k]) for rank in others])


def test_where_nothing_can_be_picked_there_is_no_curve() -> None:
    assert evaluate([EXAMPLE[0], scored([1.0, 2.0, 3.0], [0, 0, 0], id="tied")]).best_of_n == {}


def test_length_only_gives_half_for_equal_lengths() -> None:
    # a 0, b 1/2 + 1, c 6 of 6
    assert evaluate(EXAMPLE).overall.length_only.value == pytest.approx(7.5 / 9)


def test_top1_wants_a_best_response_strictly_above_the_rest() -> None:
    # a yes; b ties with a worse one: no; c: the second best is on top: no
    assert evaluate(EXAMPLE).overall.top1.value == pytest.approx(1 / 3)
    # Two best responses: one of them on top is enough, and their own tie does not matter.
    assert evaluate([scored([0.0, 5.0, 5.0, 1.0], [0, 0, 0, 1])]).overall.top1.value == 1.0


def test_groups_split_the_pairs() -> None:
    report = evaluate(EXAMPLE)
    assert {name: group.accuracy.right for name, group in report.by_source.items()} == {"x": 2, "y": 5}
    assert {name: group.accuracy.num_pairs for name, group in report.by_num_responses.items()} == {
        "2": 1,
        "3": 2,
        "4": 6,
    }
    assert {name: group.accuracy.num_pairs for name, group in report.by_modality.items()} == {"image": 7, "text": 2}


def test_blank_images_compare_the_same_comparisons() -> None:
    blank = evaluate(EXAMPLE).blank_images
    assert blank is not None
    assert (blank.real.right, blank.blank.right, blank.real.num_pairs) == (6, 6, 7)
    assert blank.gain == 0.0
    assert blank.gain_interval.low <= 0.0 <= blank.gain_interval.high


def test_answers_that_only_blank_images_make_equal_count_half() -> None:
    """Pictures of one size are alike once they are blank; of the third pair rewards were equal before."""
    pairs = [([1.0, 0.0], [7.0, 7.0]), ([0.0, 1.0], [7.0, 7.0]), ([2.0, 2.0], [7.0, 7.0]), ([1.0, 0.0], [1.0, 0.0])]
    made = [scored(one, [0, 1], id=str(place), blank=grey) for place, (one, grey) in enumerate(pairs)]
    blank = evaluate(made).blank_images
    assert blank is not None
    assert (blank.real.value, blank.blank.value, blank.gain) == (0.5, 0.5, 0.0)
    assert (blank.blank.right, blank.blank.tied_rewards) == (1, 3)


def test_text_only_has_no_blank_images_and_no_image_group() -> None:
    report = evaluate([scored([1.0, 0.0], [0, 1])])
    assert report.blank_images is None
    assert set(report.by_modality) == {"text"}
    assert report.reward_length_spearman is None  # equal lengths


def test_a_comparison_without_order_is_counted_and_left_out() -> None:
    report = evaluate([*EXAMPLE, scored([1.0, 0.0], [2, 2], id="tie", source="z")])
    assert (report.num_comparisons, report.num_unordered) == (4, 1)
    assert report.overall.accuracy.num_comparisons == 3
    assert report.overall.tied_labels == 2
    assert "z" not in report.by_source


def test_equal_rewards_everywhere_are_not_right() -> None:
    accuracy = evaluate([scored([0.0, 0.0], [0, 1]), scored([0.0, 0.0], [1, 0])]).overall.accuracy
    assert (accuracy.value, accuracy.tied_rewards) == (0.0, 2)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_reward_that_is_no_number_names_the_comparison(bad: float) -> None:
    with pytest.raises(RunError, match="'broken-17'"):
        evaluate([*EXAMPLE, scored([1.0, bad], [0, 1], id="broken-17")])
    with pytest.raises(RunError, match="blank_rewards"):
        evaluate([scored([1.0, 0.0], [0, 1], blank=[0.0, bad])])


def test_nothing_to_rank_is_an_error() -> None:
    with pytest.raises(RunError, match="0 comparisons"):
        evaluate([])
    with pytest.raises(RunError, match="tie"):
        evaluate([scored([1.0, 0.0], [1, 1])])


def test_malformed_comparisons_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[2, 3, 2\]"):
        ScoredComparison(id="7", source="s", rewards=(1, 2), ranks=(0, 1, 2), response_lengths=(1, 1), num_images=0)
    with pytest.raises(ValueError, match="two responses"):
        scored([1.0], [0])
    with pytest.raises(ValueError, match="num_images"):
        ScoredComparison(
            id="7",
            source="s",
            rewards=(1, 2),
            ranks=(0, 1),
            response_lengths=(1, 1),
            num_images=0,
            blank_rewards=(1, 2),
        )
    with pytest.raises(ValueError, match="confidence is 95"):
        evaluate(EXAMPLE, confidence=95)


def test_the_order_of_comparisons_does_not_matter() -> None:
    assert evaluate(EXAMPLE[::-1]) == evaluate(EXAMPLE)


def test_wilson_matches_the_published_formula() -> None:
    interval = wilson(8, 10, 0.95)
    assert (interval.low, interval.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(10, 10, 0.95).high == 1.0


def test_the_interval_of_single_pairs_is_near_the_binomial_one() -> None:
    right = np.repeat([1.0, 0.0], [300, 100])
    interval = cluster_interval(right, np.ones(400), np.arange(400), Resampling(samples=4000))
    spread = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert (interval.low, interval.high) == pytest.approx((0.75 - spread, 0.75 + spread), abs=0.006)


def test_pairs_of_one_comparison_are_not_counted_as_independent() -> None:
    alone = cluster_interval(np.repeat([1.0, 0.0], [60, 40]), np.ones(100), np.arange(100), Resampling())
    copied = cluster_interval(np.repeat([6.0, 0.0], [60, 40]), np.full(100, 6.0), np.arange(100), Resampling())
    assert copied == alone  # six copies of each pair bring no knowledge


def test_agreement_everywhere_is_not_certainty() -> None:
    interval = evaluate([scored([1.0, 0.0], [0, 1], id=str(index)) for index in range(3)]).overall.accuracy.interval
    assert interval.method == "wilson"
    assert interval.low == pytest.approx(3 / (3 + 1.96**2), abs=1e-3)
    assert interval.high == 1.0


def test_spearman_by_hand() -> None:
    assert curves.spearman(np.array([1.0, 2.0, 3.0]), np.array([10, 20, 15])) == pytest.approx(0.5)
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4
    assert curves.spearman(np.array([1.0, 2.0, 2.0, 9.0]), np.array([1, 2, 3, 4])) == pytest.approx(
        4.5 / math.sqrt(22.5)
    )
    assert curves.spearman(np.array([1.0, 1.0]), np.array([1, 2])) is None


def test_histogram_has_an_edge_at_zero_and_loses_nothing() -> None:
    histogram = curves.margin_histogram(np.array([-1.0, -0.01, 0.0, 0.01, 2.0]))
    zero = histogram.edges.index(0.0)
    assert (sum(histogram.counts[:zero]), sum(histogram.counts[zero:])) == (2, 3)
    assert histogram.edges[1] - histogram.edges[0] == pytest.approx(0.1)
    assert sum(curves.margin_histogram(np.zeros(4)).counts) == 4
    assert len(curves.margin_histogram(np.array([1000.0, 1001.0])).counts) < 50


def test_calibration_by_hand() -> None:
    # sigmoid(ln 3) = 0.75: of four such pairs three are right, so the model is perfectly calibrated.
    bins = curves.calibration(np.array([1.0, 1.0, 1.0, -1.0]) * math.log(3))
    assert [(one.num_pairs, one.observed) for one in bins] == [(4, 0.75)]
    assert curves.calibration_error(bins) == pytest.approx(0.0)
    tied = curves.calibration(np.zeros(2))
    assert (tied[0].predicted, tied[0].observed) == (0.5, 0.5)


def test_rewards_by_length_cover_every_response() -> None:
    bins = curves.rewards_by_length(np.arange(100.0), np.arange(100))
    assert [one.num_responses for one in bins] == [10] * 10
    assert bins[0].median == pytest.approx(4.5)
    constant = curves.rewards_by_length(np.arange(3.0), np.array([7, 7, 7]))
    assert [(one.mean_length, one.median, one.num_responses) for one in constant] == [(7.0, 1.0, 3)]


def test_the_report_is_plain_json_and_its_flat_numbers_agree() -> None:
    report = evaluate(EXAMPLE)
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert document["overall"]["accuracy"]["right"] == 7
    numbers = report.numbers()
    assert numbers["accuracy"] == document["overall"]["accuracy"]["value"]
    assert numbers["source/y/accuracy"] == document["by_source"]["y"]["accuracy"]["value"]
    assert numbers["blank_image_accuracy"] == document["blank_images"]["blank"]["value"]
    assert numbers["text_accuracy"] == 0.5
