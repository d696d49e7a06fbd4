"""The loader gives the plan's rows, whoever makes them, and says what went wrong."""

import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loader_toys import ToyComparisons, hold_a_loader_open
from toys import ROW_FORMAT, toy_comparison, toy_image

from data_pipeline.errors import CorruptData, RunError
from rm_core.batches.decoding import Decoder
from rm_core.batches.loader import PackLoader, RankStep
from rm_core.batches.packed import PackedBatch, collate
from rm_core.packing.plan import PackBudget, Plan

BATCH, STEPS = 7, 6
ITEMS = [
    toy_comparison(i, images=(toy_image(i % 5),) if i % 2 else (), ranks=((0, 1), (1, 0, 2))[i % 2]) for i in range(24)
]
BUDGET = PackBudget(tokens=60, patches=40)


def plan_of(data: ToyComparisons) -> Plan:
    return Plan(data.table(), seed=3, global_batch=BATCH, num_steps=STEPS, budget=BUDGET)


def loader_of(data: ToyComparisons, *, rank: int = 0, world_size: int = 2, workers: int = 0) -> PackLoader:
    return PackLoader(
        data, data.table(), plan_of(data), rank=rank, world_size=world_size,
        row_format=ROW_FORMAT, prefetch=2, num_workers=workers,
    )  # fmt: skip


def read(steps: Iterator[tuple[RankStep, Iterator[PackedBatch]]]) -> list[tuple[int, list[PackedBatch]]]:
    return [(step.plan.index, list(rows)) for step, rows in steps]


def same(one: Any, other: Any) -> bool:
    """Whether two batches, or parts of them, hold the same values in the same types; NaN equals NaN."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and np.array_equal(
            one.numpy(), other.numpy(), equal_nan=one.is_floating_point()
        )
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if is_dataclass(one):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    return bool(one == other)


@pytest.fixture(scope="module")
def by_thread() -> list[tuple[int, list[PackedBatch]]]:
    return read(loader_of(ToyComparisons(ITEMS)).steps(0))


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_rank_gets_its_packs_of_every_step(rank: int) -> None:
    data = ToyComparisons(ITEMS)
    found = read(loader_of(data, rank=rank, world_size=3).steps(0))
    assert [index for index, _ in found] == list(range(STEPS))
    plan = plan_of(data)
    for index, rows in found:
        rank_packs = plan.schedule(plan.step(index), 3)[rank]
        assert len(rows) == len(rank_packs)
        for row, pack in zip(rows, rank_packs, strict=True):
            assert same(row, collate([data.encoded(i) for i in pack.rows], row_format=ROW_FORMAT))


@pytest.mark.parametrize("workers", [1, 3])
def test_processes_make_the_same_rows(workers: int, by_thread: list[tuple[int, list[PackedBatch]]]) -> None:
    found = read(loader_of(ToyComparisons(ITEMS), workers=workers).steps(0))
    assert [(index, len(rows)) for index, rows in found] == [(index, len(rows)) for index, rows in by_thread]
    for (_, ours), (_, theirs) in zip(found, by_thread, strict=True):
        assert all(same(a, b) for a, b in zip(ours, theirs, strict=True))
    assert multiprocessing.active_children() == []


def test_a_step_can_be_started_anywhere(by_thread: list[tuple[int, list[PackedBatch]]]) -> None:
    found = read(loader_of(ToyComparisons(ITEMS)).steps(4))
    assert [index for index, _ in found] == [4, 5]
    for (_, ours), (_, theirs) in zip(found, by_thread[4:], strict=True):
        assert all(same(a, b) for a, b in zip(ours, theirs, strict=True))


def test_coming_comparisons_are_announced_in_order_before_they_are_read() -> None:
    data = ToyComparisons(ITEMS)
    steps = loader_of(data, world_size=1).steps(0)
    _, rows = next(steps)
    next(rows)
    plan = plan_of(data)
    expected = [row for index in range(STEPS) for pack in plan.schedule(plan.step(index), 1)[0] for row in pack.rows]
    assert len(data.announced) >= 5 * BATCH
    assert data.announced == expected[: len(data.announced)]
    steps.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_names_its_comparison(workers: int) -> None:
    with pytest.raises(RunError, match="Comparison 'toy-5'.*broken_image"):
        read(loader_of(ToyComparisons(ITEMS, broken_image=5), world_size=1, workers=workers).steps(0))
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_shard_is_named(workers: int) -> None:
    with pytest.raises(CorruptData, match="toy-6"):
        read(loader_of(ToyComparisons(ITEMS, corrupt=6), world_size=1, workers=workers).steps(0))


def test_a_killed_worker_is_an_error_and_no_hang() -> None:
    with pytest.raises(RunError, match=r"a loader worker died.*train\.loader_workers"):
        read(loader_of(ToyComparisons(ITEMS, deadly=9), world_size=1, workers=2).steps(0))
    assert multiprocessing.active_children() == []


def test_a_row_larger_than_shared_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from rm_core.batches import decoding

    monkeypatch.setattr(decoding._Worker, "data", ToyComparisons(ITEMS), raising=False)
    monkeypatch.setattr(decoding._Worker, "row_format", ROW_FORMAT, raising=False)
    monkeypatch.setattr(decoding.shutil, "disk_usage", lambda path: _Usage())
    with pytest.raises(RunError, match="shared memory"):
        decoding._work([0, 1])


class _Usage:
    free = 100


def test_leaving_early_ends_the_workers() -> None:
    steps = loader_of(ToyComparisons(ITEMS), workers=1).steps(0)
    _, rows = next(steps)
    next(rows)
    assert len(multiprocessing.active_children()) == 1
    steps.close()
    assert multiprocessing.active_children() == []


@pytest.mark.drill
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    parent = multiprocessing.get_context("spawn").Process(
        target=hold_a_loader_open, args=(ToyComparisons(ITEMS), str(pids))
    )
    parent.start()
    while not pids.exists():
        assert parent.is_alive()
        time.sleep(0.05)
    parent.kill()
    parent.join()
    for pid in pids.read_text().split():
        while _is_running(int(pid)):  # the test's time limit ends it
            time.sleep(0.05)


def _is_running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs a GPU")
@pytest.mark.parametrize("workers", [0, 1])
def test_rows_are_pinned_where_there_is_a_gpu(workers: int) -> None:
    with Decoder(ToyComparisons(ITEMS), row_format=ROW_FORMAT, num_workers=workers) as decoder:
        assert decoder.submit([0, 1]).result().pixel_values.is_pinned()
