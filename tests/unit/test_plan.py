"""Order and packing are pure functions of lengths, seed and step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.errors import RecipeError, RunError
from rm_core.batches.plan import Pack, PackBudget, Plan, deal, pack_first_fit
from rm_core.batches.sizes import PlanningTable

BUDGET = PackBudget(tokens=100, patches=64)


def table(tokens: list[int], patches: list[int] | None = None) -> PlanningTable:
    size = len(tokens)
    numbers = np.array(tokens, dtype=np.int64)
    images = np.array(patches or [0] * size, dtype=np.int64)
    ids = tuple(f"c{i}" for i in range(size))
    return PlanningTable(np.arange(size), numbers, images, np.ones(size, dtype=np.int64), numbers.astype(float), ids)


def plan(lengths: PlanningTable, *, seed: int = 0, batch: int = 4, steps: int = 10) -> Plan:
    return Plan(lengths, seed=seed, global_batch=batch, num_steps=steps, budget=BUDGET)


def test_every_epoch_holds_every_comparison_once_in_another_order() -> None:
    made = plan(table([10] * 12), batch=4, steps=6)
    first = [row for step in range(3) for row in made.step(step).rows]
    second = [row for step in range(3, 6) for row in made.step(step).rows]
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second
    assert made.step(2).epoch == 1.0


def test_a_batch_across_two_epochs_loses_nothing() -> None:
    made = plan(table([10] * 5), batch=4, steps=5)
    rows = [row for step in range(5) for row in made.step(step).rows]
    assert len(rows) == 20
    assert all(rows.count(row) == 4 for row in range(5))


def test_the_order_depends_on_the_seed_and_on_nothing_else() -> None:
    lengths = table(list(range(10, 60)))
    assert plan(lengths, seed=1).step(3) == plan(lengths, seed=1).step(3)
    assert plan(lengths, seed=1).step(3).rows != plan(lengths, seed=2).step(3).rows
    # A golden value: an order that changes silently would break every resume.
    assert plan(lengths, seed=1).step(0).rows == GOLDEN_ROWS


GOLDEN_ROWS = (3, 5, 24, 27)


@given(
    st.lists(st.tuples(st.integers(1, 100), st.integers(0, 64)), min_size=1, max_size=40),
    st.integers(1, 5),
)
def test_packs_keep_every_comparison_within_both_budgets(sizes: list[tuple[int, int]], world_size: int) -> None:
    lengths = table([tokens for tokens, _ in sizes], [patches for _, patches in sizes])
    rows = tuple(range(len(sizes)))
    packs = pack_first_fit(rows, lengths, BUDGET)
    assert sorted(row for pack in packs for row in pack.rows) == list(rows)
    for pack in packs:
        assert sum(sizes[row][0] for row in pack.rows) <= BUDGET.tokens
        assert sum(sizes[row][1] for row in pack.rows) <= BUDGET.patches
    hands = deal(packs, world_size)
    assert len(hands) == world_size
    assert len({len(hand) for hand in hands}) == 1
    assert sorted(row for hand in hands for pack in hand for row in pack.rows) == list(rows)


def test_a_deal_is_balanced() -> None:
    packs = [Pack((i,), cost) for i, cost in enumerate([9.0, 8.0, 2.0, 1.0])]
    costs = [sum(pack.cost for pack in hand) for hand in deal(packs, 2)]
    assert costs == [10.0, 10.0]


def test_ranks_that_come_up_short_get_an_empty_pack() -> None:
    hands = deal([Pack((0,), 1.0)], 3)
    assert [[pack.rows for pack in hand] for hand in hands] == [[(0,)], [()], [()]]


def test_a_comparison_over_a_budget_is_named() -> None:
    with pytest.raises(RecipeError, match="'c1' needs 101 of token_budget=100"):
        plan(table([10, 101]))
    with pytest.raises(RecipeError, match="'c0' needs 65 of patch_budget=64"):
        plan(table([10, 10], [65, 0]))


def test_an_empty_split_is_an_error() -> None:
    with pytest.raises(RunError, match="no Comparison"):
        plan(table([]))
