"""What must hold of every objective for any Comparisons and rewards."""

import math
import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from objective_forms import SCALAR_CONFIGS, VARIANTS, Case, judged, naive

from rm_core.objectives.config import ObjectiveConfig

ANY = st.sampled_from(VARIANTS)
quick = settings(max_examples=80)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """K = 1..8, ranks that often tie, scores that may all be 0, rewards in steps of 1/8."""
    size = draw(st.integers(1, 8))

    def column(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=size, max_size=size))

    return Case(
        ranks=tuple(column(0, 4)),
        rewards=tuple(value / 8 for value in column(-40, 40)),
        scores=tuple(float(value) for value in column(0, 3)),
        lengths=tuple(column(1, 50)),
        log_variances=tuple(value / 4 for value in column(-4, 8)),
    )


MANY = st.lists(cases(), max_size=6)


def values(config: ObjectiveConfig, row: list[Case], *, uncertain: bool, step_mean: float = 0.25) -> dict[str, float]:
    result, _ = judged(config, row, uncertain=uncertain, step_mean=step_mean)
    return {name: float(term.sum.detach()) for name, term in result.terms.items()}


def close(expected: dict[str, float]) -> dict[str, object]:
    # Sums of the batch term have both signs: float32 leaves 1e-4 of some hundred responses.
    return pytest.approx(expected, rel=3e-5, abs=1e-4)


def permuted(case: Case, seed: int) -> Case:
    order = list(range(len(case.ranks)))
    random.Random(seed).shuffle(order)
    fields = ("ranks", "rewards", "scores", "lengths", "log_variances")
    return replace(case, **{name: tuple(getattr(case, name)[k] for k in order) for name in fields})


@quick
@given(ANY, MANY)
def test_it_equals_the_closed_form(variant: tuple[ObjectiveConfig, bool], row: list[Case]) -> None:
    config, uncertain = variant
    expected = naive(config, row, uncertain=uncertain, step_mean=0.25)
    assert values(config, row, uncertain=uncertain) == close({name: part[0] for name, part in expected.items()})


@quick
@given(ANY, MANY)
def test_units_are_those_of_a_step(variant: tuple[ObjectiveConfig, bool], row: list[Case]) -> None:
    config, uncertain = variant
    sizes = [len(case.ranks) for case in row]
    step = {
        "comparisons": len(row),
        "pairs": sum(a < b for case in row for a in case.ranks for b in case.ranks),
        "matches": sum(math.comb(size, 2) for size in sizes),
        "responses": sum(sizes),
    }
    result, _ = judged(config, row, uncertain=uncertain, step_mean=0.0)
    assert {name: term.count for name, term in result.terms.items()} == {
        name: step[term.unit] for name, term in result.terms.items()
    }


@quick
@given(ANY, MANY, st.integers(0, 1000))
def test_no_order_matters(variant: tuple[ObjectiveConfig, bool], row: list[Case], seed: int) -> None:
    config, uncertain = variant
    shuffled = [permuted(case, seed + place) for place, case in enumerate(row)]
    random.Random(seed).shuffle(shuffled)
    before, _ = judged(config, row, uncertain=uncertain, step_mean=0.25)
    after, _ = judged(config, shuffled, uncertain=uncertain, step_mean=0.25)
    assert values(config, shuffled, uncertain=uncertain) == close(values(config, row, uncertain=uncertain))
    assert int(after.num_correct) == int(before.num_correct)
    assert float(after.margin_sum) == pytest.approx(float(before.margin_sum), abs=1e-3)


@quick
@given(ANY, MANY, st.integers(0, 6))
def test_rows_add_up(variant: tuple[ObjectiveConfig, bool], row: list[Case], cut: int) -> None:
    config, uncertain = variant
    whole, gradient = judged(config, row, uncertain=uncertain, step_mean=0.25)
    parts = [judged(config, part, uncertain=uncertain, step_mean=0.25) for part in (row[:cut], row[cut:])]
    summed = {name: sum(float(part.terms[name].sum.detach()) for part, _ in parts) for name in whole.terms}
    assert values(config, row, uncertain=uncertain) == close(summed)
    assert torch.allclose(torch.cat([part for _, part in parts]), gradient, rtol=1e-4, atol=1e-5)


@quick
@given(
    st.sampled_from([variant for variant in VARIANTS if variant[0] in SCALAR_CONFIGS]),
    MANY,
    st.lists(st.integers(-64, 64), min_size=6, max_size=6),
)
def test_a_shift_of_a_comparisons_rewards_is_invisible(
    variant: tuple[ObjectiveConfig, bool], row: list[Case], shifts: list[int]
) -> None:
    config, uncertain = variant
    moved = [
        replace(case, rewards=tuple(reward + shift for reward in case.rewards))
        for case, shift in zip(row, shifts, strict=False)
    ]
    assert values(config, moved, uncertain=uncertain) == close(values(config, row, uncertain=uncertain))
    _, gradient = judged(config, row, uncertain=uncertain)
    rewards = gradient[:, 0] if uncertain else gradient
    sizes = [len(case.ranks) for case in row]
    assert all(abs(float(part.sum())) < 1e-4 for part in rewards.split(sizes)) if sizes else True


@quick
@given(ANY, MANY)
def test_huge_gaps_are_finite(variant: tuple[ObjectiveConfig, bool], row: list[Case]) -> None:
    config, uncertain = variant
    stretched = [replace(case, rewards=tuple(reward * 2000 for reward in case.rewards)) for case in row]
    result, gradient = judged(config, stretched, uncertain=uncertain, step_mean=0.25)
    assert all(bool(term.sum.isfinite()) for term in result.terms.values())
    assert bool(gradient.isfinite().all())


@quick
@given(st.sampled_from(SCALAR_CONFIGS), MANY)
def test_no_cost_is_negative(config: ObjectiveConfig, row: list[Case]) -> None:
    assert values(config, row, uncertain=False)["rank"] >= 0
