"""Several members' rewards as one: scales, weights, rules and routing against numbers worked out by hand."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from data_pipeline.errors import CorruptData, RunError
from rm_core.ensembles.ensemble import RULES, Ensemble, combine
from rm_core.ensembles.fit import TEMPERATURES, best_temperature, calibrate, fit, pair_spread, risk_coverage
from rm_core.ensembles.table import ScoreTable, score_table
from rm_core.evaluation.metrics import evaluate
from rm_core.scoring.scored import ScoredComparison


def scored(number: int, rewards: Sequence[float], ranks: Sequence[int] = (0, 1), images: int = 1) -> ScoredComparison:
    return ScoredComparison(
        id=str(number), source="set", rewards=tuple(rewards), ranks=tuple(ranks),
        response_lengths=(5,) * len(ranks), num_images=images, group=str(number),
    )  # fmt: skip


LARGE = [scored(1, (30, 10)), scored(2, (10, 30)), scored(3, (50, 10)), scored(4, (20, 0), images=0)]
"""Three of four right; rewards around 20."""
SMALL = [scored(1, (0.2, 0.1)), scored(2, (0.9, 0.1)), scored(3, (0.1, 0.3)), scored(4, (0.1, 0.4), images=0)]
TEXT = [scored(4, (7.0, 5.0), images=0)]


def table() -> ScoreTable:
    return score_table({"large": LARGE, "small": SMALL, "text": TEXT}, {"text"})


def test_a_table_is_in_one_order_and_knows_what_is_not_read() -> None:
    found = score_table({"large": LARGE[::-1], "small": SMALL, "text": TEXT}, {"text"})
    assert [one.id for one in found.labels] == ["1", "2", "3", "4"]
    assert found.comparison.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert found.rewards[0].tolist() == [30, 10, 10, 30, 50, 10, 20, 0]
    assert np.isnan(found.rewards[2]).tolist() == [True] * 6 + [False] * 2
    assert found.pairs.tolist() == [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert found.margins(found.rewards)[0].tolist() == [20, -20, 40, 20]


def test_ordered_pairs_of_three_responses_with_a_tie() -> None:
    found = score_table({"one": [scored(1, (3, 2, 1), ranks=(1, 0, 1))]})
    assert found.pairs.T.tolist() == [[1, 0], [1, 2]]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a": []}, "nothing to combine: 1 members scored 0 Comparisons"),
        ({"a": LARGE, "b": LARGE[:3]}, "member 'b' has no reward for Comparison '4' of source 'set'"),
        ({"a": LARGE, "text": []}, "member 'text' has no reward for Comparison '4'"),
        ({"a": [*LARGE, LARGE[0]]}, "member 'a' scored Comparison '1' of source 'set' twice"),
        ({"a": LARGE, "b": [*SMALL[:3], scored(4, (1, 2), (1, 0), 0)]}, r"with ranks \[1, 0\] and 0 images, another"),
        ({"a": LARGE, "b": [*SMALL[:3], scored(4, (1, 2), images=2)]}, r"with ranks \[0, 1\] and 2 images, another"),
        ({"a": [scored(1, (math.nan, 1.0))]}, r"comparison '1' of source 'set' has rewards \[nan, 1.0\]"),
    ],
)
def test_scores_that_do_not_belong_together_are_refused(
    members: dict[str, list[ScoredComparison]], message: str
) -> None:
    with pytest.raises(RunError, match=message):
        score_table(members, {"text"})


def test_scales_weights_and_routing_by_hand() -> None:
    """As in the paper's Table 7: three weightings, and a text-only member that changes text alone."""
    by_accuracy = fit(table(), "accuracy", text_only={"text"})
    large, small, text = by_accuracy.members
    assert (large.mean, large.spread, large.margin) == (20.0, 15.0, 1.0)
    assert [one.accuracy for one in (large, small, text)] == [0.75, 0.5, 1.0]
    assert [one.weight for one in (large, small, text)] == [0.75, 0.5, 1.0]
    assert (text.mean, text.spread, text.margin) == (6.0, 1.0, 2.0)

    rewards = {name: table().rewards[number] for number, name in enumerate(table().members)}
    combined = by_accuracy.combine(rewards)
    standard = {one.name: (rewards[one.name] - one.mean) / one.spread for one in by_accuracy.members}
    picture = (0.75 * standard["large"][0] + 0.5 * standard["small"][0]) / 1.25
    words = (0.75 * standard["large"][6] + 0.5 * standard["small"][6] + 1.0 * standard["text"][6]) / 2.25
    assert combined.rewards[[0, 6]].tolist() == pytest.approx([picture, words])
    assert combined.num_members.tolist() == [2] * 6 + [3] * 2

    two = {"large": LARGE, "small": SMALL}
    without = fit(score_table(two), "accuracy").combine({name: rewards[name] for name in two})
    assert without.rewards[:6].tolist() == combined.rewards[:6].tolist(), "the text-only member changes no picture"
    assert without.rewards[6] != combined.rewards[6]


def test_weights_of_the_rules() -> None:
    accurate = [scored(number, (1.0, 0.0)) for number in range(3)] + [scored(3, (0.0, 1.0))]
    sure = [scored(number, (4.0, 0.0)) for number in range(4)]
    found = score_table({"accurate": accurate, "sure": sure})

    def weights(**settings: object) -> list[float]:
        return [member.weight for member in fit(found, **settings).members]  # type: ignore[arg-type]

    assert weights(rule="mean") == [1, 1]
    assert weights(rule="accuracy") == [0.75, 1.0]
    assert weights(rule="confidence") == [pytest.approx(1.0), pytest.approx(2.0)], "margins of rewards of spread 1"
    assert weights(rule="confidence", standardise=False) == [0.5, 4.0]


def test_each_rule_on_two_members() -> None:
    standard = np.array([[1.0, 0.0, 2.0], [3.0, np.nan, -2.0], [2.0, np.nan, 6.0]])
    even = np.ones(3)
    expected = {
        "mean": [2.0, 0.0, 2.0], "minimum": [1.0, 0.0, -2.0], "median": [2.0, 0.0, 2.0],
        "cautious": [2 - 0.5 * math.sqrt(2 / 3), 0.0, 2 - 0.5 * math.sqrt(32 / 3)],
    }  # fmt: skip
    for rule, rewards in expected.items():
        assert combine(standard, even, rule, penalty=0.5).rewards.tolist() == pytest.approx(rewards), rule  # type: ignore[arg-type]
    weighted = combine(standard, np.array([1.0, 3.0, 0.0]), "accuracy")
    assert weighted.rewards.tolist() == [2.5, 0.0, -1.0]
    assert weighted.spread.tolist() == pytest.approx([math.sqrt(0.75), 0.0, math.sqrt(3.0)])


def test_a_response_that_nobody_reads_is_refused() -> None:
    with pytest.raises(RunError, match="1 of 2 responses are read by no member"):
        combine(np.array([[1.0, np.nan]]), np.ones(1), "mean")


@pytest.mark.parametrize("rule", RULES)
def test_one_member_alone_ranks_as_it_did(rule: str) -> None:
    found = score_table({"large": LARGE})
    ensemble = fit(found, rule)  # type: ignore[arg-type]
    combined = ensemble.combine({"large": found.rewards[0]})
    alone, same = evaluate(LARGE), evaluate(found.scored(combined.rewards))
    assert same.overall.accuracy == alone.overall.accuracy
    assert same.by_modality.keys() == {"image", "text"}
    assert combined.spread.tolist() == [0.0] * 8


def test_the_scale_of_a_member_does_not_matter() -> None:
    louder = [replace(one, rewards=tuple(1000 * reward - 7 for reward in one.rewards)) for one in SMALL]
    quiet, loud = (score_table({"large": LARGE, "small": small}) for small in (SMALL, louder))
    for rule in RULES:
        rewards = [fit(one, rule).combine(dict(zip(one.members, one.rewards, strict=True))) for one in (quiet, loud)]
        assert rewards[0].rewards == pytest.approx(rewards[1].rewards), rule


@pytest.mark.parametrize(
    ("members", "rule", "message"),
    [
        ({"flat": [scored(1, (2.0, 2.0))]}, "mean", "member 'flat' gives all 2 held-out responses the reward 2.0"),
        ({"bad": [scored(1, (0.0, 1.0))]}, "accuracy", "member 'bad' has accuracy 0.0000 on the held-out pairs"),
        ({"bad": [scored(1, (0.0, 1.0))]}, "confidence", "member 'bad' has confidence -2.0000 on the held-out pairs"),
        ({"tied": [scored(1, (0.0, 1.0), (0, 0))]}, "mean", "member 'tied' reads no held-out pair"),
    ],
)
def test_members_that_say_nothing_are_refused(
    members: dict[str, list[ScoredComparison]], rule: str, message: str
) -> None:
    with pytest.raises(RunError, match=message):
        fit(score_table(members), rule)  # type: ignore[arg-type]


def test_an_ensemble_is_the_same_from_its_json() -> None:
    ensemble = fit(table(), "cautious", text_only={"text"}, penalty=0.25)
    assert Ensemble.from_json(json.loads(json.dumps(ensemble.to_json()))) == ensemble
    with pytest.raises(CorruptData, match="format_version 2, rule 'mean'"):
        Ensemble.from_json({"format_version": 2, "rule": "mean"})
    with pytest.raises(RunError, match=r"large, small, text: \['small', 'text'\] differ"):
        ensemble.combine({"large": table().rewards[0]})


def test_a_temperature_undoes_a_scale_and_numbers_are_those_of_the_formulas() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 2, 4000)
    right = rng.random(4000) < 1 / (1 + np.exp(-truth))
    margins = np.where(right, truth, -truth)
    assert best_temperature(margins) == pytest.approx(1.0, abs=0.06)
    assert best_temperature(3 * margins) == pytest.approx(3 * best_temperature(margins), rel=1e-3)
    before, after = calibrate(3 * margins, 1.0), calibrate(3 * margins, best_temperature(3 * margins))
    assert after.log_loss < before.log_loss and after.brier < before.brier and after.error < before.error
    hand = calibrate(np.array([math.log(3), -math.log(3)]), 1.0)
    assert (hand.brier, hand.log_loss) == (
        pytest.approx((0.25**2 + 0.75**2) / 2),
        pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2),
    )
    assert hand.error == pytest.approx(0.25), "predicted 0.75, observed 0.5"
    assert best_temperature(np.array([1.0, 2.0])) == pytest.approx(TEMPERATURES[0], rel=0.01), "all right"
    with pytest.raises(RunError, match="no pair of labels differs"):
        best_temperature(np.array([]))


def test_doubtful_pairs_set_aside_leave_fewer_wrong_ones() -> None:
    margins = np.array([1.0, -1.0, 2.0, 3.0])
    curve = risk_coverage(margins, doubt=np.array([0.3, 0.9, 0.1, 0.2]), points=4)
    assert curve.coverage == (0.25, 0.5, 0.75, 1.0)
    assert curve.risk == (0.0, 0.0, 0.0, 0.25)
    assert curve.area == 0.0625
    blind = risk_coverage(margins, doubt=np.zeros(4), points=4)
    assert blind.risk == (0.25,) * 4 and blind.area == 0.25
    spread = pair_spread(np.array([[1.0, 2.0], [3.0, np.nan]]))
    assert spread.tolist() == [1.0, 0.0]
