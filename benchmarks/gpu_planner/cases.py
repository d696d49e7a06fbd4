"""The trainings that `benchmarks.gpu_planner` plans and runs."""

from dataclasses import dataclass

__all__ = ["CASES", "TOYS", "Case"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One training on one GPU.

    Attributes:
        comparisons: of the row: pairs with an image of 1,024 tokens, about 1,390 tokens and 4,096 patches each.
        lora: the language model trains by adapters, the tower and the embeddings stand still.
    """

    shape: str
    stage: int
    recompute: str
    comparisons: int
    lora: bool = False
    engine: str = "deepspeed"


CASES = {
    "3b_zero2_full": Case(shape="3b", stage=2, recompute="full", comparisons=5),
    "3b_zero2_operators": Case(shape="3b", stage=2, recompute="selective", comparisons=4),
    "3b_zero2_none": Case(shape="3b", stage=2, recompute="none", comparisons=3),
    "3b_zero1_full": Case(shape="3b", stage=1, recompute="full", comparisons=5),
    "3b_zero3_full": Case(shape="3b", stage=3, recompute="full", comparisons=5),
    "3b_fsdp1_full": Case(shape="3b", stage=1, recompute="full", comparisons=5, engine="fsdp"),
    "3b_fsdp3_full": Case(shape="3b", stage=3, recompute="full", comparisons=5, engine="fsdp"),
    "7b_lora_full": Case(shape="7b", stage=2, recompute="full", comparisons=11, lora=True),
    "7b_lora_none": Case(shape="7b", stage=2, recompute="none", comparisons=5, lora=True),
}
TOYS = {
    "toy": Case(shape="tiny", stage=2, recompute="full", comparisons=2),
    "fsdp_toy": Case(shape="tiny", stage=3, recompute="full", comparisons=2, engine="fsdp"),
}
"""For a machine without a GPU."""
