"""The one table of suites. A new benchmark is one module and one line here."""

from rm_core.evaluation.suites import (
    mm_rlhf_rewardbench,
    multimodal_rewardbench,
    rewardbench,
    rm_bench,
    vl_rewardbench,
)
from rm_core.evaluation.suites.suite import Suite

__all__ = ["SUITES"]

SUITES: dict[str, Suite] = {
    one.name: one
    for one in (
        mm_rlhf_rewardbench.SUITE,
        vl_rewardbench.SUITE,
        multimodal_rewardbench.SUITE,
        rewardbench.SUITE,
        rm_bench.SUITE,
    )
}
