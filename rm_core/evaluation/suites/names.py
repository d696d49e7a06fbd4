"""The names of the suites, by themselves: a recipe is read without what measures them."""

__all__ = ["SUITE_NAMES"]

SUITE_NAMES = ("mm_rlhf_rewardbench", "vl_rewardbench", "multimodal_rewardbench", "rewardbench", "rm_bench")
"""In the order of `registry`."""
