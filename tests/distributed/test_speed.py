"""What three ranks make of their clocks: numbers worked out by hand."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from distributed_ranks import run_ranks

from data_pipeline.errors import RunError
from rm_core.training.health import check_agreement
from rm_core.training.observers import PhaseClock, Speed
from rm_core.training.observers.speed import PARTS

CPU = torch.device("cpu")
SECONDS = {
    "data": (1.0, 7.0, 1.0), "forward": (2.0, 1.0, 3.0), "backward": (4.0, 2.0, 6.0), "wait": (3.0, 0.0, 0.0),
}  # fmt: skip
"""Of each rank, over the two steps of a window; each rank's add up to 10."""


class SetClock(PhaseClock):
    """Has run for `SECONDS`."""

    def take(self) -> dict[str, float]:
        return dict.fromkeys(PARTS, 0.0) | {part: ranks[dist.get_rank()] for part, ranks in SECONDS.items()}


def disagree(facts: dict[str, float], weights: list[float]) -> str:
    try:
        parameters = [(f"part{i}.weight", torch.tensor([1.0, value])) for i, value in enumerate(weights)]
        check_agreement(7, parameters, lambda name: name.split(".")[0], facts)
    except RunError as error:
        return str(error)
    return ""


def observe() -> dict[str, Any]:
    rank = dist.get_rank()
    speed = Speed(SetClock(CPU), CPU, torch.bfloat16)
    for flops in (5e13, 15e13):
        speed.add(flops)
    metrics, waited = speed.metrics()
    empty, _ = speed.metrics()
    return {
        "metrics": metrics,
        "waited": (waited.rank, waited.share),
        "empty": empty["system/tflops_per_worker"],
        "equal": disagree({"rates": 0.1}, [2.0, 3.0]),
        "weights": disagree({"rates": 0.1}, [2.0, 3.0 + 1e-6 * (rank == 1)]),
        "plan": disagree({"Comparisons of the plan": float(rank == 2)}, [2.0, 3.0]),
    }


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run_ranks(observe, 3, Path(tmp_path_factory.mktemp("speed")))


def test_metrics_of_a_window(ranks: Any) -> None:
    expected = dict.fromkeys((f"wall/{part}_s" for part in PARTS), 0.0)
    expected |= {"wall/data_s": 1.5, "wall/forward_s": 1.0, "wall/backward_s": 2.0, "wall/wait_s": 0.5}
    expected |= {"wall/compute_median_s": 3.0, "wall/compute_slowest_s": 4.5, "system/slowest_rank": 2.0}
    # 2e14 FLOPs forward, three times that with the backward pass, in 10 s on 3 ranks: 20 TFLOP/s each.
    expected |= {"system/tflops_per_worker": 20.0}
    for rank in ranks:
        assert rank["metrics"] == pytest.approx(expected), "no MFU: the peak of a CPU is not known"
        assert rank["waited"] == (1, 0.7)
        assert rank["empty"] == 0.0, "a new window"


def test_ranks_that_hold_other_things_are_named(ranks: Any) -> None:
    for rank in ranks:
        assert rank["equal"] == ""
        assert rank["weights"].startswith("after step 7, weights of part1 on rank 1 differ from the other ranks'")
        assert rank["plan"].startswith("after step 7, Comparisons of the plan on rank 2 differ from the other ranks'")
