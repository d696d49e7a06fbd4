"""The order of training belongs to the data and the seed: ranks, restarts and sizes of the group change nothing."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rm_core.packing.plan import PackBudget, Plan
from rm_core.packing.sizes import PlanningTable

BUDGET = PackBudget(tokens=100, patches=64)
SIZES = st.lists(st.tuples(st.integers(1, 100), st.integers(0, 64)), min_size=1, max_size=60)
WORLD_SIZES = st.integers(1, 8)


def plan_of(sizes: list[tuple[int, int]], seed: int, batch: int, steps: int) -> Plan:
    """A plan as a process makes it from the lengths in the manifest, with nothing of another process."""
    tokens, patches = (np.array(column, dtype=np.int64) for column in zip(*sizes, strict=True))
    cost = (tokens * 3 + tokens**2 / 50 + patches / 4).astype(np.float32)
    pairs, responses = np.ones(len(sizes), dtype=np.int64), np.full(len(sizes), 2)
    ids = tuple(f"c{number}" for number in range(len(sizes)))
    table = PlanningTable(np.arange(len(sizes)), tokens, patches, pairs, responses, cost, ids)
    return Plan(table, seed=seed, global_batch=batch, num_steps=steps, budget=BUDGET)


def run(plan: Plan, start: int, stop: int, world_size: int) -> list[Counter[int]]:
    """What all ranks together see in each of the steps."""
    seen = []
    for index in range(start, stop):
        schedule = plan.schedule(plan.step(index), world_size)
        assert len(schedule) == world_size
        seen.append(Counter(row for rank_packs in schedule for pack in rank_packs for row in pack.rows))
    return seen


@given(SIZES, st.integers(0, 2**31), st.integers(1, 16), WORLD_SIZES)
def test_every_comparison_comes_once_an_epoch_on_any_number_of_ranks(
    sizes: list[tuple[int, int]], seed: int, batch: int, world_size: int
) -> None:
    epochs = 2
    num_steps = -(-epochs * len(sizes) // batch)
    seen = run(plan_of(sizes, seed, batch, num_steps), 0, num_steps, world_size)
    assert all(step.total() == batch for step in seen)
    stream = [row for index in range(num_steps) for row in plan_of(sizes, seed, batch, num_steps).step(index).rows]
    assert [Counter(stream[index * batch :][:batch]) for index in range(num_steps)] == seen
    for epoch in range(epochs):
        assert sorted(stream[epoch * len(sizes) :][: len(sizes)]) == list(range(len(sizes)))


@given(
    SIZES, st.integers(0, 2**31), st.integers(1, 16), st.lists(st.tuples(st.integers(1, 4), WORLD_SIZES), min_size=1)
)
def test_attempts_on_other_numbers_of_ranks_join_to_the_steps_of_one(
    sizes: list[tuple[int, int]], seed: int, batch: int, attempts: list[tuple[int, int]]
) -> None:
    num_steps = sum(steps for steps, _ in attempts)
    joined, start = [], 0
    for steps, world_size in attempts:
        joined += run(plan_of(sizes, seed, batch, num_steps), start, start + steps, world_size)
        start += steps
    assert joined == run(plan_of(sizes, seed, batch, num_steps), 0, num_steps, 1)
