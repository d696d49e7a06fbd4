"""The planner's bytes of states against real ranks: two of them on CPU, every stage of both engines, both precisions,
offload; and four of them for what takes more.
"""

from pathlib import Path

import pytest
from distributed_ranks import RunsOfCases, run_ranks, with_drills
from planned_memory import Case, live_storages, new_model, predicted, train_config
from sharding import How, begin

from rm_core.planner.kept import States
from rm_core.planner.states import BUCKET

CASES: list[Case] = [
    (0, "fp32", ""), (1, "fp32", ""), (2, "fp32", ""), (3, "fp32", ""),
    (1, "bf16", ""), (2, "bf16", ""), (3, "bf16", ""),
    (2, "bf16", "optimizer"), (3, "bf16", "optimizer"), (3, "bf16", "both"),
    ("fsdp-1", "bf16", ""), ("fsdp-2", "bf16", ""), ("fsdp-3", "bf16", ""), ("fsdp-3-step", "bf16", ""),
    ("fsdp-1", "fp32", ""), ("fsdp-3", "fp32", ""), ("fsdp-1", "bf16", "frozen"), ("fsdp-3", "bf16", "frozen"),
]  # fmt: skip
QUICK: set[Case] = {(3, "bf16", ""), ("fsdp-3", "bf16", "")}
ON_FOUR: list[Case] = [
    (3, "bf16", "second"), ("fsdp-3", "bf16", "second"), ("fsdp-1-step-2", "bf16", ""), ("fsdp-3-row-2", "bf16", ""),
]  # fmt: skip


def measure(cases: list[Case], ranks: int = 2) -> dict[Case, int]:
    """Bytes between the second step's rows, where everything that is kept is there."""
    from toys import toy_comparison

    from rm_core.batches.packed import collate

    found = {}
    for case in cases:
        before = live_storages()  # kept, so that no address of them is used again
        model = new_model(case)
        engine = begin(model, train_config(case, ranks))
        model.train()
        row = collate([toy_comparison(seed) for seed in range(2)], row_format=model.row_format)
        for step in range(2):
            for place in range(2):
                engine.backward(engine.forward(row).sum(), last_row=(step, place) == (0, 1))
            if step == 0:
                engine.step()
        now = live_storages()
        found[case] = sum(storage.nbytes() for place, storage in now.items() if place not in before)
        if isinstance(case[0], int):
            engine._engine.destroy()  # type: ignore[attr-defined]
        del engine, model, row, before, now
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> RunsOfCases:
    folder: Path = tmp_path_factory.mktemp("planner")
    return RunsOfCases(measure, CASES, QUICK, folder)


@pytest.mark.parametrize(("how", "precision", "more"), with_drills(CASES, QUICK))
def test_states_are_as_planned(how: How, precision: str, more: str, runs: RunsOfCases) -> None:
    case = (how, precision, more)
    check(predicted(case), runs[case], precision)


@pytest.mark.drill
def test_states_of_four_ranks_are_as_planned(tmp_path: Path) -> None:
    """Some of which share a copy of the weights, or the whole state."""
    by_rank = run_ranks(measure, 4, tmp_path, ON_FOUR, 4)
    for case in ON_FOUR:
        check(predicted(case, 4), [found[case] for found in by_rank], case[1])


def check(states: States, measured: list[int], precision: str) -> None:
    # The bucket is made whole whatever the model's size: beside a tiny model it would hide everything else.
    bucket = BUCKET * (2 if precision == "bf16" else 4) if states.buffers >= BUCKET else 0
    for of_rank in measured:
        assert of_rank - bucket == pytest.approx(states.kept + states.host - bucket, rel=0.1)
