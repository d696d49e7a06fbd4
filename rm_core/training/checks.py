"""Whether a step did what its plan says, in finite numbers, by the kernel that was asked for."""

import math

import torch.distributed as dist

from data_pipeline.errors import RunError
from rm_core.batches.plan import StepPlan
from rm_core.training.accumulation import StepSums

__all__ = ["check_step"]


def check_step(step: StepPlan, sums: StepSums, grad_norm: float, kernel: str) -> None:
    """Stop on numbers that are not finite, and where other work was done than the plan says; equal on all ranks.

    Args:
        kernel: the attention kernel that was configured.

    Raises:
        RunError: says what differs; for numbers, which Comparisons are behind them.
    """
    _check_work(step, sums, kernel)
    losses = {name: sums[f"loss_{name}"] for name in sums.units}
    if not all(map(math.isfinite, (grad_norm, *losses.values()))):
        raise RunError(
            f"step {step.index}: loss sums {losses}, gradient norm {grad_norm}: lower optimizer.learning_rate, or look "
            f"at these Comparisons: {_suspects(sums)}"
        )


def _check_work(step: StepPlan, sums: StepSums, kernel: str) -> None:
    if sums["other_kernels"]:
        raise RunError(
            f"step {step.index}: train.attention chose {kernel!r}, and another kernel ran on "
            f"{sums['other_kernels']:.0f} ranks; on this one {sums.kernel!r}"
        )
    planned = step.counts
    expected = {
        **{f"count_{name}": getattr(planned, unit) for name, unit in sums.units.items()},
        "pairs": planned.pairs,
        "responses": planned.responses,
        "comparisons": planned.comparisons,
        "tokens": planned.tokens,
        "patches": planned.patches,
        "done_tokens": planned.tokens,
        "done_patches": sums["distinct_patches"],
    }
    for name, value in expected.items():
        if sums[name] != value:
            raise RunError(f"step {step.index}: its plan says {value:.0f} {name}, {sums[name]:.0f} were processed")


def _suspects(sums: StepSums) -> str:
    """Ids of the rows with a reward that is not finite, of all ranks; where all are finite, of all rows."""
    own = [(ids, bool(finite)) for ids, finite in sums.rows]
    ranks: list[list[tuple[tuple[str, ...], bool]]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(ranks, own)
    rows = [row for rank in ranks for row in rank]
    bad = [ids for ids, finite in rows if not finite] or [ids for ids, _ in rows]
    named = [name for ids in bad for name in ids]
    return ", ".join(named[:8]) + (f", ... ({len(named)} in all)" if len(named) > 8 else "")
