"""What a point of the metrics says of speed, also after a resume."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from rm_core.training.accumulation import StepSums
from rm_core.training.window import Window

NAMES = ("loss_ranking", "count_ranking", "correct", "margin", "reward", "reward_squared", "pairs", "responses")
NAMES += ("comparisons", "tokens", "patches", "distinct_patches", "done_tokens", "done_patches", "ids_hash")


@pytest.fixture
def one_rank(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def step() -> StepSums:
    return StepSums(values=torch.ones(len(NAMES), dtype=torch.float64), names=NAMES, units=(), kernel="sdpa", rows=())


@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize("restored_steps", [0, 3, 1000])
def test_throughput_after_a_resume_is_that_of_the_steps_since(restored_steps: int) -> None:
    """Means are over all steps since the last point, those of an earlier attempt too."""
    window = Window(NAMES, torch.device("cpu"))
    kept = torch.ones(len(NAMES) + 1, dtype=torch.float64) * restored_steps
    kept[-1] = 0
    window.restore(kept)
    window.start()
    began_s = time.perf_counter()
    window.add(step())
    window.add(step())
    time.sleep(0.02)
    point = window.metrics()
    most = 2 / (time.perf_counter() - began_s)
    for name in ("comparisons_per_s", "tokens_per_s", "patches_per_s"):
        assert most <= point[f"system/{name}"] < 2 / 0.02
    assert point["verify/ids_hash"] == restored_steps + 2
    window.add(step())
    assert window.metrics()["verify/ids_hash"] == 1
