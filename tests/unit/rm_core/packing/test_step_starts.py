"""Steps that count pairs: a pure function of the table, the seed and the step, as those that count Comparisons."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.errors import RecipeError
from rm_core.packing.plan import PackBudget, Plan, pack_first_fit
from rm_core.packing.row_sizes import JudgedCounts
from rm_core.packing.sizes import PlanningTable

BUDGET = PackBudget(tokens=100, patches=64)


def table(pairs: list[int], *, judged: bool = False) -> PlanningTable:
    """Comparisons with so many pairs; `judged`: as groups of records of one pair each."""
    counts = np.array(pairs, dtype=np.int64)
    tokens = 1 + np.random.default_rng(0).integers(0, 99, len(counts))
    groups = JudgedCounts(comparisons=counts, pairs=counts, matches=counts, responses=2 * counts) if judged else None
    return PlanningTable(
        index=np.arange(len(counts)), num_tokens=tokens, num_patches=tokens % 64, num_pairs=counts,
        num_responses=2 * counts, cost=tokens.astype(np.float32), ids=tuple(f"c{i}" for i in range(len(counts))),
        judged=groups,
    )  # fmt: skip


def plan(made: PlanningTable, *, batch: int, steps: int, seed: int = 0, unit: str = "pairs") -> Plan:
    return Plan(made, seed=seed, global_batch=batch, num_steps=steps, budget=BUDGET, unit=unit)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 8), min_size=1, max_size=30), st.integers(8, 20), st.integers(0, 3))
def test_steps_hold_as_many_pairs_as_they_are_asked_for(pairs: list[int], batch: int, seed: int) -> None:
    made = table(pairs)
    planned = plan(made, batch=batch, steps=6, seed=seed)
    seen: list[int] = []
    for index in range(6):
        step = planned.step(index)
        assert step.rows and list(step.packs) == pack_first_fit(step.rows, made, BUDGET)
        assert step.counts.pairs == sum(pairs[row] for row in step.rows)
        assert step.counts.tokens == int(made.num_tokens[list(step.rows)].sum())
        seen += step.rows
        assert 0 <= sum(pairs[row] for row in seen) - (index + 1) * batch < max(pairs)
        assert step.epoch == pytest.approx(len(seen) / len(pairs))
    for start in range(0, len(seen) - len(pairs) + 1, len(pairs)):
        assert sorted(seen[start : start + len(pairs)]) == list(range(len(pairs)))


def test_of_single_pairs_both_units_are_the_same() -> None:
    made = table([1] * 23)
    both = [plan(made, batch=5, steps=9, unit=unit) for unit in ("pairs", "comparisons")]
    assert [both[0].step(index) for index in range(9)] == [both[1].step(index) for index in range(9)]
    assert both[0].epoch_units == both[1].epoch_units == 23


def test_a_step_does_not_depend_on_the_steps_planned_with_it() -> None:
    made = table(np.random.default_rng(1).integers(1, 9, 331).tolist(), judged=True)
    whole = plan(made, batch=16, steps=400)
    some = whole.steps(130, 150)
    for index in range(130, 150):
        assert some.packs_of(index) == whole.step(index).packs
        assert some.counts_of(index) == whole.step(index).counts
        assert whole.step(index).counts.comparisons == whole.step(index).counts.pairs
        rows = [row for packs in whole.schedule(whole.step(index), 3) for pack in packs for row in pack.rows]
        assert sorted(rows) == sorted(whole.step(index).rows)


def test_a_step_smaller_than_a_comparison_is_refused() -> None:
    with pytest.raises(RecipeError, match="train.global_batch=8 counts pairs, and Comparison 'c1' has 9: raise it"):
        plan(table([1, 9]), batch=8, steps=1)


def test_a_group_over_a_budget_names_its_bound() -> None:
    with pytest.raises(RecipeError, match="raise token_budget, or preprocess with a smaller group_max_tokens, rules"):
        table([1, 1], judged=True).check_fits(tokens=1, patches=64)
