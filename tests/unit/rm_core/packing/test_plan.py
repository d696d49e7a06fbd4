"""Order and packing are pure functions of lengths, seed and step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import toy_comparison, toy_image

from data_pipeline.dataset.tables import ROWS_SCHEMA
from data_pipeline.errors import RecipeError, RunError
from rm_core.packing.order import shuffled_places
from rm_core.packing.plan import Pack, PackBudget, Plan, pack_first_fit
from rm_core.packing.row_sizes import CostModel, attention_pairs
from rm_core.packing.sizes import PlanningTable, StepCounts, num_ordered_pairs

BUDGET = PackBudget(tokens=100, patches=64)
COST_MODEL = CostModel(token=1.0, response=3.0, attention_pair=0.01, patch=0.25, patch_pair=0.001)
SIZES = st.lists(st.tuples(st.integers(1, 100), st.integers(0, 64)), min_size=1, max_size=40)


def table(tokens: Sequence[int], patches: Sequence[int] | None = None) -> PlanningTable:
    size = len(tokens)
    numbers = np.array(tokens, dtype=np.int64)
    images = np.array(patches or [0] * size, dtype=np.int64)
    ids = tuple(f"c{i}" for i in range(size))
    cost = (numbers + images / 4).astype(np.float32)
    pairs, responses = np.ones(size, dtype=np.int64), np.full(size, 2)
    return PlanningTable(np.arange(size), numbers, images, pairs, responses, cost, ids)


def plan(lengths: PlanningTable, *, seed: int = 0, batch: int = 4, steps: int = 10) -> Plan:
    return Plan(lengths, seed=seed, global_batch=batch, num_steps=steps, budget=BUDGET)


def plain_first_fit(rows: Sequence[int], lengths: PlanningTable, budget: PackBudget) -> list[Pack]:
    """First-fit decreasing as one loop: what the vectorised packing must give, pack for pack."""
    order = sorted(range(len(rows)), key=lambda place: (-int(lengths.num_tokens[rows[place]]), place))
    bins: list[list[int]] = []
    room: list[tuple[int, int]] = []
    for place in order:
        row = rows[place]
        tokens, patches = int(lengths.num_tokens[row]), int(lengths.num_patches[row])
        fit = next((i for i, (t, p) in enumerate(room) if tokens <= t and patches <= p), None)
        if fit is None:
            bins.append([])
            room.append((budget.tokens, budget.patches))
            fit = len(bins) - 1
        bins[fit].append(row)
        room[fit] = (room[fit][0] - tokens, room[fit][1] - patches)
    return [Pack(tuple(members), float(sum(float(lengths.cost[row]) for row in members))) for members in bins]


def counted(rows: Sequence[int], lengths: PlanningTable) -> StepCounts:
    """Counts of a step, one Comparison after the other."""
    sums = dict.fromkeys(("comparisons", "pairs", "matches", "responses", "tokens", "patches"), 0)
    for row in rows:
        responses = int(lengths.num_responses[row])
        sums["comparisons"] += 1
        sums["pairs"] += int(lengths.num_pairs[row])
        sums["matches"] += sum(i < j for i in range(responses) for j in range(responses))
        sums["responses"] += responses
        sums["tokens"] += int(lengths.num_tokens[row])
        sums["patches"] += int(lengths.num_patches[row])
    return StepCounts(**sums)


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


GOLDEN_ROWS = (42, 10, 6, 3)


@given(st.integers(1, 5000), st.integers(-(2**70), 2**70), st.integers(0, 2**40))
def test_an_epoch_is_a_permutation(size: int, seed: int, epoch: int) -> None:
    found = shuffled_places(np.arange(epoch * size, (epoch + 1) * size), size=size, seed=seed)
    assert np.array_equal(np.sort(found), np.arange(size))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 16, 17, 255, 256, 257, 65_536, 65_537, 300_001])
def test_sizes_around_powers_of_two_are_permuted(size: int) -> None:
    found = shuffled_places(np.arange(size), size=size, seed=3)
    assert np.array_equal(np.sort(found), np.arange(size))


def test_any_place_can_be_asked_for_alone_far_into_a_large_table() -> None:
    places = np.array([3 * 10**9 + 7, 12, 5 * 10**11])
    alone = [int(shuffled_places(places[i : i + 1], size=2**31 - 5, seed=4)[0]) for i in range(3)]
    assert shuffled_places(places, size=2**31 - 5, seed=4).tolist() == alone
    assert all(0 <= place < 2**31 - 5 for place in alone)


@pytest.mark.parametrize("size", [2, 3, 5, 12, 100])
def test_every_entry_comes_at_every_place_about_equally_often(size: int) -> None:
    epochs = 40_000 // size
    orders = shuffled_places(np.arange(epochs * size), size=size, seed=11).reshape(epochs, size)
    counts = np.zeros((size, size))
    for place in range(size):
        counts[place] = np.bincount(orders[:, place], minlength=size)
    expected = epochs / size
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    freedom = (size - 1) ** 2
    assert chi_square < freedom + 5 * np.sqrt(2 * freedom)  # five standard deviations


def test_neighbours_are_torn_apart() -> None:
    order = shuffled_places(np.arange(50_000), size=50_000, seed=0)
    assert abs(float(np.corrcoef(order[:-1], order[1:])[0, 1])) < 0.02
    assert abs(float(np.corrcoef(np.arange(50_000), order)[0, 1])) < 0.02
    assert int((np.abs(np.diff(order)) == 1).sum()) < 15  # two of 50,000 are expected


@given(SIZES)
def test_packs_keep_every_comparison_within_both_budgets(sizes: list[tuple[int, int]]) -> None:
    lengths = table([tokens for tokens, _ in sizes], [patches for _, patches in sizes])
    rows = tuple(range(len(sizes)))
    packs = pack_first_fit(rows, lengths, BUDGET)
    assert sorted(row for pack in packs for row in pack.rows) == list(rows)
    for pack in packs:
        assert sum(sizes[row][0] for row in pack.rows) <= BUDGET.tokens
        assert sum(sizes[row][1] for row in pack.rows) <= BUDGET.patches


@given(SIZES, st.integers(1, 13), st.integers(1, 9), st.integers(0, 3))
def test_many_steps_at_once_are_packed_as_one_by_one(
    sizes: list[tuple[int, int]], batch: int, steps: int, seed: int
) -> None:
    lengths = table([tokens for tokens, _ in sizes], [patches for _, patches in sizes])
    made = plan(lengths, seed=seed, batch=batch, steps=steps)
    for index in range(steps):
        step = made.step(index)
        assert list(step.packs) == plain_first_fit(step.rows, lengths, BUDGET)
        assert step.counts == counted(step.rows, lengths)


def test_a_step_does_not_depend_on_the_steps_planned_with_it() -> None:
    lengths = table(np.random.default_rng(0).integers(1, 100, 977).tolist())
    whole = plan(lengths, batch=8, steps=500)
    some = whole.steps(120, 140)
    shorter = plan(lengths, batch=8, steps=133)
    for index in range(120, 133):
        assert some.packs_of(index) == whole.step(index).packs == shorter.step(index).packs
        assert some.counts_of(index) == whole.step(index).counts


def test_nothing_packs_to_nothing() -> None:
    assert pack_first_fit((), table([10]), BUDGET) == []


def test_a_comparison_over_a_budget_is_named() -> None:
    with pytest.raises(RecipeError, match="'c1' needs 101 of token_budget=100"):
        plan(table([10, 101]))
    with pytest.raises(RecipeError, match="'c0' needs 65 of patch_budget=64"):
        plan(table([10, 10], [65, 0]))
    with pytest.raises(ValueError, match="101 tokens"):
        pack_first_fit((0, 1), table([10, 101]), BUDGET)


def test_an_empty_split_is_an_error() -> None:
    with pytest.raises(RunError, match="no Comparison"):
        plan(table([]))


ROW = st.tuples(
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=6),
    st.lists(st.integers(1, 99), max_size=4),
)


@given(st.lists(ROW, max_size=12), st.data())
def test_sizes_are_those_of_the_rows(
    rows: list[tuple[int, list[tuple[int, int]], list[int]]], data: st.DataObject
) -> None:
    arrow = arrow_rows(
        prefix_length=[prefix for prefix, _, _ in rows],
        response_lengths=[[length for length, _ in responses] for _, responses, _ in rows],
        ranks=[[rank for _, rank in responses] for _, responses, _ in rows],
        image_patches=[patches for _, _, patches in rows],
    )
    index = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1)) if rows else st.just([])), dtype=np.int64)
    found = PlanningTable.from_rows(arrow, index, cost_model=COST_MODEL)
    for entry, row in enumerate(index):
        prefix, responses, patches = rows[row]
        lengths = [length for length, _ in responses]
        assert found.num_tokens[entry] == prefix + sum(lengths)
        assert found.num_patches[entry] == sum(patches)
        assert found.num_pairs[entry] == num_ordered_pairs([rank for _, rank in responses])
        assert found.num_responses[entry] == len(responses)
        assert found.ids[entry] == f"c{row}"
        cost = prefix + sum(lengths) + 3 * len(lengths) + 0.01 * attention_pairs(prefix, lengths)
        cost += 0.25 * sum(patches) + 0.001 * sum(number**2 for number in patches)
        assert found.cost[entry] == pytest.approx(cost, rel=1e-6)
    assert [*found.ids[1:3]] == [f"c{row}" for row in index[1:3]]


def test_rows_in_several_pieces_and_refused_rows_between() -> None:
    numbers = list(range(1, 8))
    arrow = arrow_rows(
        prefix_length=numbers,
        response_lengths=[[n, n] for n in numbers],
        ranks=[[0, 1]] * 7,
        image_patches=[[n] for n in numbers],
    )
    pieces = pa.concat_tables([arrow.slice(0, 3), arrow.slice(3, 1), arrow.slice(4)])
    found = PlanningTable.from_rows(pieces, np.array([0, 1, 1]), places=np.array([2, 5, 5]), cost_model=COST_MODEL)
    assert found.index.tolist() == [0, 1, 1]
    assert found.num_tokens.tolist() == [9, 18, 18]
    assert list(found.ids) == ["c2", "c5", "c5"]


def test_two_frames_of_a_video_are_one_picture_to_the_tower() -> None:
    arrow = arrow_rows(
        prefix_length=[5, 5, 5],
        response_lengths=[[1, 2]] * 3,
        ranks=[[0, 1]] * 3,
        image_patches=[[48], [16, 16, 16], [48, 16]],
        span_frames=[[5], [0, 0, 0], [6, 1]],
    )
    found = PlanningTable.from_rows(arrow, np.arange(3), cost_model=COST_MODEL)
    assert found.cost[0] == pytest.approx(found.cost[1], rel=1e-6)
    assert found.cost[2] - found.cost[0] == pytest.approx(0.25 * 16 + 0.001 * 16**2, rel=1e-3)


def test_an_entry_takes_26_bytes() -> None:
    arrow = arrow_rows(prefix_length=[5], response_lengths=[[1, 2]], ranks=[[0, 1]], image_patches=[[4]])
    found = PlanningTable.from_rows(arrow, np.zeros(100, dtype=np.int32), cost_model=COST_MODEL)
    columns = (found.index, found.num_tokens, found.num_patches, found.num_pairs, found.num_responses, found.cost)
    place = 4
    assert sum(column.nbytes for column in columns) + 100 * place == 100 * 26


def test_more_responses_than_a_plan_counts_are_refused() -> None:
    arrow = arrow_rows(prefix_length=[5], response_lengths=[[1] * 65_536], ranks=[[]], image_patches=[[]])
    with pytest.raises(RunError, match="65,536 responses"):
        PlanningTable.from_rows(arrow, np.array([0]), cost_model=COST_MODEL)


def test_comparisons_in_memory_have_the_sizes_of_their_rows() -> None:
    items = [
        toy_comparison(0, images=(toy_image(0), toy_image(1, 56, 84)), ranks=(0, 1, 1)),
        toy_comparison(1, ranks=(2, 0, 1, 0)),
    ]
    arrow = arrow_rows(
        prefix_length=[len(item.prefix_ids) for item in items],
        response_lengths=[[len(ids) for ids in item.response_ids] for item in items],
        ranks=[list(item.ranks) for item in items],
        image_patches=[[image.num_patches for image in item.images] for item in items],
    )
    in_memory = PlanningTable.from_comparisons(items, COST_MODEL)
    stored = PlanningTable.from_rows(arrow, np.arange(2), cost_model=COST_MODEL)
    for name in ("index", "num_tokens", "num_patches", "num_pairs", "num_responses"):
        assert getattr(in_memory, name).tolist() == getattr(stored, name).tolist()
    assert in_memory.cost == pytest.approx(stored.cost, rel=1e-6)
    assert in_memory.ids == ("toy-0", "toy-1")


def test_a_part_of_a_table_keeps_its_data() -> None:
    arrow = arrow_rows(
        prefix_length=[5, 6, 7], response_lengths=[[1, 2]] * 3, ranks=[[0, 1]] * 3, image_patches=[[4], [], [8]]
    )
    whole = PlanningTable.from_rows(
        arrow, np.array([10, 11, 12, 10]), places=np.array([0, 1, 2, 0]), cost_model=COST_MODEL
    )
    with_images, text_only = whole.where(whole.has_images), whole.where(~whole.has_images)
    assert with_images.index.tolist() == [10, 12, 10]
    assert with_images.num_tokens.tolist() == [8, 10, 8]
    assert list(with_images.ids) == ["c0", "c2", "c0"]
    assert (list(text_only.ids), text_only.index.tolist()) == (["c1"], [11])
    assert text_only.cost.tolist() == [whole.cost[1]]
    in_memory = table([1, 2, 3], [0, 4, 0])
    assert in_memory.where(in_memory.has_images).ids == ("c1",)


def arrow_rows(**columns: list[Any]) -> pa.Table:
    """Rows of still images, unless `span_frames` says otherwise."""
    count = len(columns["prefix_length"])
    columns.setdefault("span_frames", [[0] * len(patches) for patches in columns["image_patches"]])
    return pa.table(
        {"id": [f"c{i}" for i in range(count)], **columns},
        schema=pa.schema([ROWS_SCHEMA.field(name) for name in ("id", *columns)]),
    )
