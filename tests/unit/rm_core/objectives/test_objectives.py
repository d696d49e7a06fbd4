"""`Objective` against closed forms: every term, its unit, its count and its gradient."""

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from objective_forms import CONFIGS, VARIANTS, Case, config_id, judged, naive, random_cases, row_of

from data_pipeline.errors import RecipeError, RunError
from rm_core.objectives.config import LABELS, NAMES, ObjectiveConfig
from rm_core.objectives.objective import Objective
from rm_core.objectives.terms import Judged

STEP_MEAN = 0.37
CASES = random_cases(0, [2, 1, 4, 8, 3, 2, 5, 6, 7])
HUGE = [Case((0, 1), (-1e4, 1e4)), Case((1, 0, 0, 2), (1e4, -1e4, 0.0, 3.0)), Case((0, 0), (1e4, -1e4))]
every_variant = pytest.mark.parametrize(
    ("config", "uncertain"), VARIANTS, ids=[config_id(config) + ("+variance" * both) for config, both in VARIANTS]
)


def sums(result: Judged) -> dict[str, float]:
    return {name: float(term.sum.detach()) for name, term in result.terms.items()}


def total(config: ObjectiveConfig, cases: Sequence[Case], uncertain: bool) -> float:
    return sum(part[0] for part in naive(config, cases, uncertain=uncertain, step_mean=STEP_MEAN).values())


@every_variant
def test_terms_equal_their_closed_forms(config: ObjectiveConfig, uncertain: bool) -> None:
    result, _ = judged(config, CASES, uncertain=uncertain, step_mean=STEP_MEAN)
    expected = naive(config, CASES, uncertain=uncertain, step_mean=STEP_MEAN)
    assert {name: (term.unit, term.count) for name, term in result.terms.items()} == {
        name: (unit, count) for name, (_, unit, count) in expected.items()
    }
    assert sums(result) == pytest.approx({name: part[0] for name, part in expected.items()}, rel=2e-5)
    assert all(term.sum.dtype == torch.float32 and term.sum.shape == () for term in result.terms.values())


@every_variant
def test_gradients_equal_differences_of_the_closed_forms(config: ObjectiveConfig, uncertain: bool) -> None:
    cases = random_cases(1, [3, 2, 4])
    _, gradient = judged(config, cases, uncertain=uncertain, step_mean=STEP_MEAN)
    column = gradient[:, 0] if uncertain else gradient
    assert column.tolist() == pytest.approx(differences(config, cases, uncertain, "rewards"), abs=2e-5, rel=2e-4)
    if uncertain:
        expected = differences(config, cases, uncertain, "log_variances")
        assert gradient[:, 1].tolist() == pytest.approx(expected, abs=2e-5, rel=2e-4)


def differences(config: ObjectiveConfig, cases: list[Case], uncertain: bool, field: str) -> list[float]:
    """Central differences of the naive total by every entry of `field`, in the order of the row."""
    found, step = [], 1e-5
    for place, case in enumerate(cases):
        for k in range(len(case.ranks)):
            moved = []
            for sign in (1, -1):
                values = list(getattr(case, field))
                values[k] += sign * step
                other = Case(**{**{name: getattr(case, name) for name in case.__annotations__}, field: tuple(values)})
                moved.append(total(config, [*cases[:place], other, *cases[place + 1 :]], uncertain))
            found.append((moved[0] - moved[1]) / (2 * step))
    return found


@every_variant
@pytest.mark.parametrize("cuts", [[1, 2, 3, 4, 5, 6, 7, 8], [4], [0, 3, 3, 9]])
def test_no_split_into_rows_changes_anything(config: ObjectiveConfig, uncertain: bool, cuts: list[int]) -> None:
    whole, whole_gradient = judged(config, CASES, uncertain=uncertain, step_mean=STEP_MEAN)
    bounds = [0, *cuts, len(CASES)]
    rows = [CASES[start:stop] for start, stop in pairwise(bounds)]
    parts = [judged(config, row, uncertain=uncertain, step_mean=STEP_MEAN) for row in rows]
    for name, term in whole.terms.items():
        assert sum(part.terms[name].count for part, _ in parts) == term.count
        assert sum(sums(part)[name] for part, _ in parts) == pytest.approx(sums(whole)[name], rel=1e-5)
    assert torch.allclose(torch.cat([gradient for _, gradient in parts]), whole_gradient, rtol=1e-5, atol=1e-7)
    assert sum(int(part.num_correct) for part, _ in parts) == int(whole.num_correct)
    assert sum(float(part.margin_sum) for part, _ in parts) == pytest.approx(float(whole.margin_sum), rel=1e-5)


@every_variant
def test_an_empty_row_costs_nothing_and_still_has_a_gradient(config: ObjectiveConfig, uncertain: bool) -> None:
    result, gradient = judged(config, [], uncertain=uncertain, step_mean=STEP_MEAN)
    assert set(sums(result).values()) == {0.0}
    assert {term.count for term in result.terms.values()} == {0}
    assert gradient.shape == ((0, 2) if uncertain else (0,))
    assert int(result.num_correct) == 0 and float(result.margin_sum) == 0.0


@every_variant
def test_values_and_gradients_are_finite_at_huge_gaps(config: ObjectiveConfig, uncertain: bool) -> None:
    for log_variance in (-20.0, 0.0, 20.0):
        cases = [
            Case(
                case.ranks,
                case.rewards,
                scores=tuple(float(10**k) for k in range(len(case.ranks))),
                lengths=(1,) * len(case.ranks),
                log_variances=(log_variance,) * len(case.ranks),
            )
            for case in HUGE
        ]
        result, gradient = judged(config, cases, uncertain=uncertain, step_mean=STEP_MEAN)
        assert all(map(math.isfinite, sums(result).values()))
        assert bool(gradient.isfinite().all())
        assert sums(result)["rank"] > 1e4 or log_variance > 0


@every_variant
def test_nothing_waits_for_the_device_of_the_output(config: ObjectiveConfig, uncertain: bool) -> None:
    """A tensor on the meta device has no value to wait for: reading one raises."""
    output, labels = row_of(CASES, uncertain=uncertain)
    result = Objective(config)(output.to("meta"), labels, step_mean=torch.tensor(STEP_MEAN))
    assert {term.sum.device.type for term in result.terms.values()} == {"meta"}


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_judged_in_float32(name: str) -> None:
    output, labels = row_of(CASES)
    half = output.detach().bfloat16()
    result = Objective(ObjectiveConfig(name=name))(half, labels)
    exact = Objective(ObjectiveConfig(name=name))(half.float(), labels)
    assert sums(result) == sums(exact) and result.terms["rank"].sum.dtype == torch.float32
    assert float(result.margin_sum) == float(exact.margin_sum)


def test_only_a_strictly_higher_reward_is_right() -> None:
    result, _ = judged(ObjectiveConfig(), [Case((1, 0, 0), (1.0, 3.0, 1.0)), Case((0, 1), (5.0, 7.0))])
    assert int(result.num_correct) == 1
    assert float(result.margin_sum) == 0.0
    assert result.terms["rank"].count == 3


def test_a_large_comparison_equals_its_closed_form() -> None:
    cases = random_cases(5, [300, 2])
    for config in (ObjectiveConfig(), ObjectiveConfig(name="plackett_luce"), ObjectiveConfig(name="davidson")):
        result, _ = judged(config, cases)
        assert sums(result)["rank"] == pytest.approx(naive(config, cases)["rank"][0], rel=2e-5)


def test_the_batch_zero_term_is_the_square_of_the_mean_with_its_gradient() -> None:
    rows = [CASES[:4], CASES[4:]]
    rewards = torch.tensor([reward for case in CASES for reward in case.rewards], requires_grad=True)
    square = 0.2 * rewards.mean() ** 2
    (expected,) = torch.autograd.grad(square, rewards)
    config = ObjectiveConfig(batch_zero_coefficient=0.2)
    assert Objective(config).needs_step_mean and not Objective(ObjectiveConfig()).needs_step_mean
    value, gradients = 0.0, []
    for cases in rows:
        output, labels = row_of(cases)
        term = Objective(config)(output, labels, step_mean=rewards.detach().mean()).terms["batch_zero"]
        value += float(term.sum.detach()) / len(rewards)
        gradients.append(torch.autograd.grad(term.sum / len(rewards), output)[0])
    assert value == pytest.approx(float(square.detach()), rel=1e-5)
    assert torch.allclose(torch.cat(gradients), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="batch_zero_coefficient is above 0: give the step's mean"):
        Objective(config)(rewards, row_of(CASES)[1])


def test_rewards_are_means_after_length_normalisation() -> None:
    case = Case((0, 1), (2.0, 3.0), lengths=(1, 20), log_variances=(0.5, 1.0))
    output, labels = row_of([case], uncertain=True)
    rewards = Objective(ObjectiveConfig(length_normalisation=True)).rewards(output.bfloat16(), labels)
    assert rewards.dtype == torch.float32
    assert rewards.tolist() == pytest.approx([2.0 / math.log(2), 3.0 / math.log(21)])
    assert Objective(ObjectiveConfig()).rewards(output, labels).tolist() == [2.0, 3.0]


@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "config",
    [ObjectiveConfig(labels="scores"), ObjectiveConfig(labels="votes"), ObjectiveConfig(score_margin=0.1)],
    ids=config_id,
)
def test_a_missing_score_names_its_comparison(config: ObjectiveConfig, bad: float | None) -> None:
    cases = [Case((0, 1), (1.0, 0.0), scores=(2.0, 1.0)), Case((0, 1), (1.0, 0.0), scores=(1.0, bad), id="culprit")]
    with pytest.raises(RunError, match=r"'culprit' has the score (nan|-?inf).*labels=ranks and score_margin=0"):
        judged(config, cases)
    judged(config, cases[:1])
    judged(ObjectiveConfig(), cases)


def test_votes_cannot_be_negative_and_scores_can() -> None:
    cases = [Case((0, 1), (1.0, 0.0), scores=(2.0, -1.0), id="minus")]
    with pytest.raises(RunError, match=r"'minus' has the score -1\.0 .*votes, 0 or above"):
        judged(ObjectiveConfig(labels="votes"), cases)
    assert sums(judged(ObjectiveConfig(labels="scores"), cases)[0])["rank"] > 0


@pytest.mark.parametrize("shape", [(3,), (5,), (4, 1), (4, 3), (2, 4), ()])
def test_an_output_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    _, labels = row_of([Case((0, 1), (0.0, 0.0)), Case((0, 1), (0.0, 0.0))])
    with pytest.raises(ValueError, match=r"for 4 responses: give \[4\] or \[4, 2\]"):
        Objective(ObjectiveConfig())(torch.zeros(shape), labels)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "bradley_terry"])
def test_variances_suit_bradley_terry_only(name: str) -> None:
    with pytest.raises(RecipeError, match=rf"train\.objective\.name={name} .*train\.head\.uncertainty=false"):
        judged(ObjectiveConfig(name=name), CASES, uncertain=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "hinge"}, r"name='hinge' must be one of bradley_terry, plackett_luce"),
        ({"labels": "stars"}, r"labels='stars' must be one of ranks, scores, votes"),
        ({"weighting": "row"}, r"weighting='row' must be one of pair, comparison"),
        ({"labels": "scores", "label_temperature": 0.0}, r"label_temperature=0.0 must be above 0"),
        ({"name": "davidson", "tie_parameter": -1.0}, r"tie_parameter=-1.0 must be above 0"),
        ({"name": "rao_kupper", "tie_parameter": math.inf}, r"tie_parameter=inf must be a finite"),
        ({"margin": -0.1}, r"margin=-0.1 must be at least 0"),
        ({"score_margin": math.nan}, r"score_margin=nan must be"),
        ({"zero_coefficient": -1.0}, r"zero_coefficient=-1.0 must be"),
        ({"batch_zero_coefficient": math.inf}, r"batch_zero_coefficient=inf must be"),
        ({"l2_coefficient": -1e-9}, r"l2_coefficient=-1e-09 must be"),
        ({"name": "plackett_luce", "labels": "votes"}, r"labels='votes' needs train.objective.name=bradley_terry, not"),
        ({"label_temperature": 2.0}, r"label_temperature=2.0 is read for .*labels=scores only, not ranks"),
        ({"labels": "votes", "label_temperature": 2.0}, r"label_temperature=2.0 is read for .* only, not votes"),
        ({"tie_parameter": 2.0}, r"tie_parameter=2.0 is read for rao_kupper and davidson only, not bradley_terry"),
        ({"name": "top1", "margin": 1.0}, r"margin=1.0 needs .*, not top1 with labels=ranks: set it to 0"),
        ({"labels": "scores", "score_margin": 1.0}, r"score_margin=1.0 needs .*, not bradley_terry with labels=scores"),
    ],
)
def test_a_bad_value_is_refused_by_its_key(change: dict[str, str | float], message: str) -> None:
    with pytest.raises(RecipeError, match=rf"^train\.objective\.{message}"):
        Objective(ObjectiveConfig(**change))


def test_every_name_and_label_is_covered_by_a_closed_form() -> None:
    assert {config.name for config in CONFIGS} == set(NAMES)
    assert {config.labels for config in CONFIGS} == set(LABELS)
