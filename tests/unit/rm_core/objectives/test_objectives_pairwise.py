"""Pairwise costs: hand numbers, extremes, gradients, and the probabilities behind them."""

import math

import pytest
import torch
from objective_forms import Case, davidson, judged, rao_kupper
from scipy.stats import norm

from rm_core.objectives import pairwise
from rm_core.objectives.config import ObjectiveConfig
from rm_core.objectives.pairwise import log_normal_cdf, soft_cost, win_cost
from rm_core.objectives.probability import (
    Outcome,
    davidson_probabilities,
    rao_kupper_probabilities,
    win_probability,
)

GAPS = torch.linspace(-8, 8, 33)
ZEROS = torch.zeros(33)
FIRST, SECOND = torch.tensor([0, 2, 1]), torch.tensor([1, 0, 3])


def rank_sum(config: ObjectiveConfig, case: Case, *, uncertain: bool = False) -> float:
    return float(judged(config, [case], uncertain=uncertain)[0].terms["rank"].sum.detach())


@pytest.mark.parametrize(("margin", "cost"), [(2.0, 0.1269), (0.0, 0.6931), (-2.0, 2.1269), (-1e4, 1e4), (1e4, 0.0)])
def test_hand_numbers_of_scalar_margins(margin: float, cost: float) -> None:
    assert rank_sum(ObjectiveConfig(), Case((0, 1), (margin, 0.0))) == pytest.approx(cost, abs=1e-4)
    assert float(win_cost(torch.tensor([margin, 0.0]), FIRST[:1], SECOND[:1])) == pytest.approx(cost, abs=1e-4)


@pytest.mark.parametrize(("gap", "cost"), [(2.0, 0.0819), (0.0, 0.6931), (-2.0, 2.5428)])
def test_hand_numbers_of_gaussian_outputs(gap: float, cost: float) -> None:
    case = Case((0, 1), (gap, 0.0), log_variances=(0.0, 0.0))
    assert rank_sum(ObjectiveConfig(), case, uncertain=True) == pytest.approx(cost, abs=1e-4)


def test_each_pair_has_its_cost_and_a_strictly_higher_reward_is_right() -> None:
    found, _ = judged(ObjectiveConfig(), [Case((1, 0, 0), (1.0, 3.0, 3.0))])
    assert (int(found.num_correct), float(found.margin_sum)) == (2, 4.0)
    costs = win_cost(torch.tensor([1.0, 3.0, 3.0]), torch.tensor([1, 2, 1]), torch.tensor([0, 0, 2]))
    assert costs.tolist() == pytest.approx([math.log(1 + math.exp(-2))] * 2 + [math.log(2)])
    assert win_cost(torch.tensor([1.0]), torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long)).sum() == 0


def test_hand_numbers_of_margins_and_soft_labels() -> None:
    case = Case((0, 1), (2.0, 0.0), scores=(3.0, 1.0))
    assert rank_sum(ObjectiveConfig(margin=2.0), case) == pytest.approx(math.log(2), abs=1e-6)
    assert rank_sum(ObjectiveConfig(score_margin=2.0), case) == pytest.approx(2.1269, abs=1e-4)
    # Three votes against one: 0.75 of 0.1269 and 0.25 of 2.1269.
    assert rank_sum(ObjectiveConfig(labels="votes"), case) == pytest.approx(0.6269, abs=1e-4)
    # sigmoid((3 - 1) / 1) = 0.8808.
    assert rank_sum(ObjectiveConfig(labels="scores"), case) == pytest.approx(0.3653, abs=1e-4)
    nobody = Case((0, 0), (2.0, 0.0), scores=(0.0, 0.0))
    assert rank_sum(ObjectiveConfig(labels="votes"), nobody) == 0.0


def test_weighting_by_comparison_spreads_it_over_its_pairs() -> None:
    cases = [Case((0, 1, 1), (0.0, 0.0, 0.0)), Case((0, 0), (1.0, 0.0)), Case((0, 1), (2.0, 0.0))]
    term = judged(ObjectiveConfig(weighting="comparison"), cases)[0].terms["rank"]
    assert (term.unit, term.count) == ("comparisons", 3)
    assert float(term.sum.detach()) == pytest.approx(math.log(2) + 0 + math.log1p(math.exp(-2)), rel=1e-6)


def test_gradients_of_scalar_costs_are_bounded_at_any_gap() -> None:
    _, gradient = judged(ObjectiveConfig(), [Case((0, 1), (-1e4, 1e4))])
    assert gradient.tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("x", [-1e10, -1e5, -1e4, -50.0, -5.0, -1.0, 0.0, 1.0, 5.0, 12.0, 1e4])
def test_log_normal_cdf_and_its_gradient(x: float) -> None:
    point = torch.tensor(x, requires_grad=True)
    log_normal_cdf(point).backward()
    assert point.grad is not None
    assert float(log_normal_cdf(point.detach())) == pytest.approx(norm.logcdf(x), rel=1e-5, abs=1e-37)
    # Mills' ratio, of logarithms: phi and Phi alone underflow.
    expected = math.exp(norm.logpdf(x) - norm.logcdf(x)) if x > -1e5 else -x
    assert float(point.grad) == pytest.approx(expected, rel=1e-5, abs=1e-37)


@pytest.mark.parametrize("columns", [1, 2])
def test_gradcheck_of_pairwise_costs(columns: int) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (4,) if columns == 1 else (4, 2)
    output = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    share = torch.tensor([0.1, 1.0, 0.6], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: win_cost(x, FIRST, SECOND, 0.3), (output,))
    assert torch.autograd.gradcheck(lambda x: soft_cost(x, FIRST, SECOND, share), (output,))


def test_gradcheck_of_ties() -> None:
    gap = torch.randn(6, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    tied = torch.tensor([True, False] * 3)
    assert torch.autograd.gradcheck(lambda x: pairwise.rao_kupper(x, tied, 0.4), (gap,))
    assert torch.autograd.gradcheck(lambda x: pairwise.davidson(x, tied, 0.4), (gap,))


@pytest.mark.parametrize(
    ("name", "costs"),
    [("rao_kupper", (0.3133, 1.3133, 3.0486, 1.5073, 0.7719)), ("davidson", (0.4076, 1.0986, 2.4076, 1.4076, 1.0986))],
)
def test_hand_numbers_of_ties(name: str, costs: tuple[float, ...]) -> None:
    config = ObjectiveConfig(name=name)
    found = [rank_sum(config, Case((0, 1), (margin, 0.0))) for margin in (2.0, 0.0, -2.0)]
    found += [rank_sum(config, Case((3, 3), (margin, 0.0))) for margin in (2.0, 0.0)]
    assert found == pytest.approx(costs, abs=1e-4)


@pytest.mark.parametrize("parameter", [1e-3, 0.3, 1.0, 5.0])
@pytest.mark.parametrize(
    ("chances", "closed_form"), [(rao_kupper_probabilities, rao_kupper), (davidson_probabilities, davidson)]
)
def test_probabilities_of_ties(chances, closed_form, parameter: float) -> None:
    found = torch.stack(chances(GAPS, ZEROS, parameter)).T
    expected = [closed_form(gap, 0.0, parameter) for gap in GAPS.tolist()]
    assert torch.allclose(found.double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-9)
    assert torch.allclose(found.sum(dim=1), torch.ones(33), atol=1e-6)


def test_probabilities_are_what_the_objectives_cost() -> None:
    pairs = (torch.arange(33), torch.full((33,), 33))
    scalar = torch.cat([GAPS, torch.zeros(1)])
    assert torch.allclose(-win_probability(GAPS, ZEROS).log(), win_cost(scalar, *pairs), rtol=1e-4, atol=1e-6)
    spread = torch.linspace(-2, 2, 34)
    gaussian = torch.stack([scalar / 2, spread], dim=1)
    one, other = gaussian[:33], gaussian[33:].expand(33, 2)
    assert torch.allclose(-win_probability(one, other).log(), win_cost(gaussian, *pairs), rtol=1e-4, atol=1e-6)
    never, always = torch.zeros(33, dtype=torch.bool), torch.ones(33, dtype=torch.bool)
    for cost, chances in ((pairwise.rao_kupper, rao_kupper_probabilities), (pairwise.davidson, davidson_probabilities)):
        outcome = chances(GAPS, ZEROS, 0.7)
        assert torch.allclose(-outcome.win.log(), cost(GAPS, never, 0.7), rtol=1e-4, atol=1e-6)
        assert torch.allclose(-outcome.tie.log(), cost(GAPS, always, 0.7), rtol=1e-4, atol=1e-6)
        assert torch.allclose(-outcome.loss.log(), cost(-GAPS, never, 0.7), rtol=1e-4, atol=1e-6)


def test_hand_numbers_of_probabilities() -> None:
    two, zero = torch.tensor([2.0]), torch.tensor([0.0])
    unit = torch.zeros(1)
    assert float(win_probability(two, zero)) == pytest.approx(0.8808, abs=1e-4)
    gaussian = win_probability(torch.stack([two, unit], dim=1), torch.stack([zero, unit], dim=1))
    assert float(gaussian) == pytest.approx(0.9214, abs=1e-4)
    assert [float(p) for p in rao_kupper_probabilities(two, zero, 1.0)] == pytest.approx(
        [0.7311, 0.2215, 0.0474], abs=1e-4
    )
    assert [float(p) for p in davidson_probabilities(two, zero, 1.0)] == pytest.approx(
        [0.6652, 0.2447, 0.0900], abs=1e-4
    )


def test_probabilities_at_huge_gaps_and_of_half_precision() -> None:
    high, low = torch.tensor([1e4], dtype=torch.bfloat16), torch.tensor([-1e4], dtype=torch.bfloat16)
    for outcome in (rao_kupper_probabilities(high, low, 1.0), davidson_probabilities(high, low, 1.0)):
        assert isinstance(outcome, Outcome) and [float(p) for p in outcome] == [1.0, 0.0, 0.0]
        assert outcome.win.dtype == torch.float32
    assert float(win_probability(low, high)) == 0.0


@pytest.mark.parametrize(("one", "other"), [((3,), (2,)), ((3, 3), (3, 3)), ((), ()), ((3,), (3, 2))])
def test_outputs_of_other_shapes_have_no_probability(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"both must be \[N\] or \[N, 2\]"):
        win_probability(torch.zeros(one), torch.zeros(other))
    with pytest.raises(ValueError, match=r"both must be \[N\]$"):
        davidson_probabilities(torch.zeros(2, 2), torch.zeros(2, 2), 1.0)


def test_a_tie_parameter_of_any_size_is_finite() -> None:
    for parameter in (1e-30, 1e-3, 50.0, 1e4):
        for cost in (pairwise.rao_kupper, pairwise.davidson):
            for tied in (True, False):
                assert bool(cost(GAPS, torch.full((33,), tied), parameter).isfinite().all())
    assert pairwise.log_tie_constant(1.0) == pytest.approx(1.8546, abs=1e-4)
