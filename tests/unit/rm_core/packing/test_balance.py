"""Ranks get as many packs each, of about equal cost, whatever the budgets."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rm_core.packing.balance import assign, balance
from rm_core.packing.plan import Pack, PackBudget, Plan, pack_first_fit
from rm_core.packing.sizes import PlanningTable
from rm_core.packing.whole import WholeTable

BUDGET = PackBudget(tokens=100, patches=64)
SIZES = st.lists(
    st.tuples(st.integers(1, 100), st.integers(0, 64), st.floats(0, 2**50, width=32)), min_size=1, max_size=40
)
Sizes = Sequence[tuple[int, int, float]]


def table_of(sizes: Sizes) -> PlanningTable:
    """Comparisons of (tokens, patches, cost)."""
    count = len(sizes)
    tokens, patches, cost = (np.array(column) for column in zip(*sizes, strict=True))
    ids = tuple(f"c{i}" for i in range(count))
    return PlanningTable(
        np.arange(count), tokens, patches, np.ones(count), np.full(count, 2), cost.astype(np.float32), ids
    )


def schedule_of(sizes: Sizes, world_size: int, budget: PackBudget = BUDGET) -> list[list[Pack]]:
    table, rows = table_of(sizes), range(len(sizes))
    return balance(rows, pack_first_fit(rows, table, budget), table, budget, world_size)


def straggler_factor(schedule: Sequence[Sequence[Pack]]) -> float:
    """Time of a step over its time at perfect balance."""
    costs = np.array([[pack.cost for pack in rank_packs] for rank_packs in schedule])
    return float(costs.max(axis=0).sum() / costs.mean(axis=0).sum())


@given(SIZES, st.integers(1, 9))
def test_schedules_hold_every_comparison_once_within_both_budgets(sizes: Sizes, world_size: int) -> None:
    schedule = schedule_of(sizes, world_size)
    packs = [pack for rank_packs in schedule for pack in rank_packs]
    assert sorted(row for pack in packs for row in pack.rows) == list(range(len(sizes)))
    for pack in packs:
        assert sum(sizes[row][0] for row in pack.rows) <= BUDGET.tokens
        assert sum(sizes[row][1] for row in pack.rows) <= BUDGET.patches
        assert pack.cost == pytest.approx(sum(sizes[row][2] for row in pack.rows))


@given(SIZES, st.integers(1, 9))
def test_a_whole_table_has_the_same_packs_for_any_number_of_ranks(sizes: Sizes, world_size: int) -> None:
    plan = WholeTable(table_of(sizes), BUDGET)
    schedule = plan.schedule(plan.step(0), world_size)
    assert len({len(rank_packs) for rank_packs in schedule}) == 1
    packs = [pack for rank_packs in schedule for pack in rank_packs if pack.rows]
    assert sorted(pack.rows for pack in packs) == sorted(pack.rows for pack in plan.step(0).packs)
    assert sorted(row for pack in packs for row in pack.rows) == list(range(len(sizes)))
    assert plan.step(0).counts.tokens == sum(tokens for tokens, _, _ in sizes)


@given(SIZES, st.integers(1, 9))
def test_all_ranks_have_as_many_turns_and_none_idles_without_need(sizes: Sizes, world_size: int) -> None:
    schedule = schedule_of(sizes, world_size)
    assert len(schedule) == world_size
    assert len({len(rank_packs) for rank_packs in schedule}) == 1
    idle = sum(not pack.rows for rank_packs in schedule for pack in rank_packs)
    assert idle == max(0, world_size * len(schedule[0]) - len(sizes)) or world_size == 1
    for rank_packs in schedule:
        turns = [bool(pack.rows) for pack in rank_packs]
        assert turns == sorted(turns, reverse=True)


@given(SIZES, st.integers(2, 9))
def test_turns_are_no_more_than_first_fit_takes_and_no_fewer_than_can_be(sizes: Sizes, world_size: int) -> None:
    table, rows = table_of(sizes), range(len(sizes))
    first_fit = pack_first_fit(rows, table, BUDGET)
    turns = len(balance(rows, first_fit, table, BUDGET, world_size)[0])
    least = max(int(table.num_tokens.sum()) / BUDGET.tokens, int(table.num_patches.sum()) / BUDGET.patches)
    assert least / world_size <= turns <= -(-len(first_fit) // world_size)


@given(SIZES, st.integers(1, 9))
def test_costs_fall_from_turn_to_turn(sizes: Sizes, world_size: int) -> None:
    """The ranks' packs of one turn lie next to each other in the order of costs."""
    turns = list(zip(*schedule_of(sizes, world_size), strict=True))
    for now, later in pairwise(turns):
        assert min(pack.cost for pack in now) >= max(pack.cost for pack in later)


@given(SIZES, st.integers(1, 9))
def test_the_same_step_is_dealt_the_same_way(sizes: Sizes, world_size: int) -> None:
    assert schedule_of(sizes, world_size) == schedule_of(list(sizes), world_size)


def test_equal_comparisons_keep_the_order_of_the_step() -> None:
    schedule = schedule_of([(10, 0, 1.0)] * 4, 2)
    assert [[pack.rows for pack in rank_packs] for rank_packs in schedule] == [[(0, 2)], [(1, 3)]]
    table, rows = table_of([(10, 0, 1.0)] * 4), (3, 1, 2, 0)
    schedule = balance(rows, pack_first_fit(rows, table, BUDGET), table, BUDGET, 2)
    assert [[pack.rows for pack in rank_packs] for rank_packs in schedule] == [[(3, 2)], [(1, 0)]]


def test_one_rank_runs_as_few_rows_as_first_fit_finds() -> None:
    sizes = [(60, 0, 60.0), (50, 0, 50.0), (40, 0, 40.0), (30, 0, 30.0)]
    assert [[pack.rows for pack in rank_packs] for rank_packs in schedule_of(sizes, 1)] == [[(0, 2), (1, 3)]]


def test_three_packs_of_first_fit_become_a_pack_for_each_of_two_ranks_in_two_turns() -> None:
    # First fit: 60 + 40, 60 + 40, 40; assigned to two ranks they take 100 + 40, and one rank idles in the second turn.
    sizes = [(60, 0, 60.0), (60, 0, 60.0), (40, 0, 40.0), (40, 0, 40.0), (40, 0, 40.0)]
    schedule = schedule_of(sizes, 2)
    assert [[pack.cost for pack in rank_packs] for rank_packs in schedule] == [[80.0, 40.0], [60.0, 60.0]]


def test_full_packs_are_those_of_first_fit() -> None:
    # The costliest first, each into the cheapest pack with room: 40 + 50 | 60 leaves no room for the other 50.
    schedule = schedule_of([(60, 0, 8.0), (50, 0, 7.0), (50, 0, 5.0), (40, 0, 9.0)], 2)
    assert [[pack.rows for pack in rank_packs] for rank_packs in schedule] == [[(0, 3)], [(1, 2)]]


def test_first_fit_packs_are_cut_where_nothing_else_fits() -> None:
    # One of 40 in each of four packs leaves no room for 70. First fit: 70 | 40 + 40 | 40 + 40, of which one is cut.
    schedule = schedule_of([(70, 0, 1.0), (40, 0, 9.0), (40, 0, 8.0), (40, 0, 7.0), (40, 0, 6.0)], 2)
    assert [[pack.rows for pack in rank_packs] for rank_packs in schedule] == [[(3, 4), (0,)], [(1,), (2,)]]


def test_ranks_that_come_up_short_get_an_empty_pack() -> None:
    schedule = assign([Pack((0,), 1.0)], 3)
    assert [[pack.rows for pack in rank_packs] for rank_packs in schedule] == [[(0,)], [()], [()]]


def test_the_rank_with_the_least_work_gets_the_largest_pack_of_a_turn() -> None:
    packs = [Pack((i,), cost) for i, cost in enumerate([9.0, 8.0, 2.0, 1.0])]
    costs = [sum(pack.cost for pack in rank_packs) for rank_packs in assign(packs, 2)]
    assert costs == [10.0, 10.0]


@pytest.mark.parametrize(("world_size", "most"), [(2, 1.02), (4, 1.03), (8, 1.05)])
def test_a_realistic_step_is_even(world_size: int, most: float) -> None:
    random = np.random.default_rng(5)
    lengths = np.clip(random.lognormal(np.log(500), 0.7, 128), 20, 4000).astype(int)
    sizes = [(int(n), 1024 if n % 2 else 0, float(n + n * n / 20_000)) for n in lengths]
    schedule = schedule_of(sizes, world_size, PackBudget(tokens=16_384, patches=32_768))
    assert straggler_factor(schedule) < most


def test_membership_of_steps_does_not_depend_on_ranks() -> None:
    table = table_of([(n, 0, float(n)) for n in range(10, 60)])
    plan = Plan(table, seed=1, global_batch=8, num_steps=5, budget=BUDGET)
    for index in range(5):
        step = plan.step(index)
        for world_size in (1, 2, 3, 8):
            schedule = plan.schedule(step, world_size)
            rows = [row for rank_packs in schedule for pack in rank_packs for row in pack.rows]
            assert sorted(rows) == sorted(step.rows)
