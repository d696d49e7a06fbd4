"""Whether a step did what its plan says, by the kernel that was asked for."""

from data_pipeline.errors import RunError
from rm_core.packing.plan import StepPlan
from rm_core.training.accumulation import StepSums

__all__ = ["check_work"]


def check_work(step: StepPlan, sums: StepSums, kernel: str) -> None:
    """Stop where other work was done than the plan says; equal on all ranks.

    Args:
        kernel: the attention kernel that was configured.

    Raises:
        RunError: says what differs.
    """
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
