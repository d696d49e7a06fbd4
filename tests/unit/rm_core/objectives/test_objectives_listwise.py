"""Listwise costs: hand numbers, ties, extremes, and what they have in common with other models."""

import math

import pytest
import torch
from objective_forms import Case, judged, naive, plackett_luce_of_orders, random_cases, row_of

from rm_core.objectives.config import ObjectiveConfig
from rm_core.objectives.listwise import plackett_luce, top1

PLACKETT_LUCE, TOP1 = ObjectiveConfig(name="plackett_luce"), ObjectiveConfig(name="top1")


def rank_sum(config: ObjectiveConfig, case: Case) -> float:
    return float(judged(config, [case])[0].terms["rank"].sum.detach())


@pytest.mark.parametrize(
    ("ranks", "costs", "best"),
    [
        ((0, 1, 2), [0.4076, 0.3133, 0.0], 0.4076),
        ((0, 0, 1), [0.1269, 0.3133, 0.0], 0.9076),
        ((2, 1, 0), [0.0, 1.3133, 2.4076], 2.4076),
        ((0, 0, 0), [0.0, 0.0, 0.0], 1.4076),
    ],
)
def test_hand_numbers(ranks: tuple[int, ...], costs: list[float], best: float) -> None:
    output, labels = row_of([Case(ranks, (2.0, 1.0, 0.0))])
    assert plackett_luce(output, labels).tolist() == pytest.approx(costs, abs=1e-4)
    assert top1(output, labels).tolist() == pytest.approx([best], abs=1e-4)


@pytest.mark.parametrize("config", [PLACKETT_LUCE, TOP1], ids=["plackett_luce", "top1"])
@pytest.mark.parametrize("margin", [2.0, 0.0, -2.0, -1e4, 1e4])
def test_two_responses_are_bradley_terry(config: ObjectiveConfig, margin: float) -> None:
    case = Case((0, 1), (margin, 0.0))
    assert rank_sum(config, case) == pytest.approx(rank_sum(ObjectiveConfig(), case), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("size", range(1, 8))
def test_without_ties_it_is_the_likelihood_of_the_order(size: int) -> None:
    (case,) = random_cases(size, [size])
    case = Case(tuple(range(size)), case.rewards)
    assert rank_sum(PLACKETT_LUCE, case) == pytest.approx(plackett_luce_of_orders(case), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("ranks", "exact"),
    [((0, 1, 1, 1), True), ((0, 1, 2, 2, 2), True), ((1, 1, 1), True), ((0, 0, 1), False), ((0, 1, 1, 2, 2), False)],
)
def test_ties_cost_at_least_the_sum_over_their_orders(ranks: tuple[int, ...], exact: bool) -> None:
    for seed in range(20):
        case = Case(ranks, random_cases(seed, [len(ranks)])[0].rewards)
        found, marginal = rank_sum(PLACKETT_LUCE, case), plackett_luce_of_orders(case)
        if exact:
            assert found == pytest.approx(marginal, rel=1e-5, abs=1e-6)
        else:
            assert found > marginal


def test_equals_are_not_pulled_together_by_plackett_luce_and_are_by_top1() -> None:
    tied = Case((0, 0), (3.0, 1.0))
    assert judged(PLACKETT_LUCE, [tied])[1].tolist() == [0.0, 0.0]
    gradient = judged(TOP1, [tied])[1].tolist()
    assert gradient == pytest.approx([0.8808 - 0.5, 0.1192 - 0.5], abs=1e-4)


def test_small_costs_keep_their_digits() -> None:
    # 1 + exp(-30) is 1 in float32.
    assert rank_sum(PLACKETT_LUCE, Case((0, 1, 1), (30.0, 0.0, 0.0))) == pytest.approx(
        2 * math.exp(-30), rel=1e-5, abs=0
    )


def test_gradients_at_huge_gaps() -> None:
    _, gradient = judged(PLACKETT_LUCE, [Case((0, 1, 1), (-1e4, 1e4, 0.0))])
    assert gradient.tolist() == [-1.0, 1.0, 0.0]
    _, gradient = judged(TOP1, [Case((0, 1, 0), (-1e4, 1e4, -1e4))])
    assert gradient.tolist() == [-0.5, 1.0, -0.5]


def test_gradcheck() -> None:
    output, labels = row_of(random_cases(3, [4, 1, 3, 2]))
    double = output.detach().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: plackett_luce(x, labels), (double,))
    assert torch.autograd.gradcheck(lambda x: top1(x, labels), (double,))


def test_one_response_costs_nothing() -> None:
    for config in (PLACKETT_LUCE, TOP1):
        result, gradient = judged(config, [Case((0,), (5.0,))])
        assert (result.terms["rank"].count, float(result.terms["rank"].sum.detach())) == (1, 0.0)
        assert gradient.tolist() == [0.0]


def test_a_comparison_does_not_see_its_neighbours() -> None:
    huge = Case((0, 1), (1e4, -1e4))
    small = random_cases(4, [5])[0]
    for config in (PLACKETT_LUCE, TOP1):
        result, _ = judged(config, [huge, small, huge])
        assert float(result.terms["rank"].sum.detach()) == pytest.approx(naive(config, [small])["rank"][0], rel=1e-5)
