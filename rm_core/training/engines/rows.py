"""What an engine computes of one packed row, whatever wraps the model."""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from rm_core.batches.packed import PackedBatch
from rm_core.model.reward_model import Output

__all__ = ["Run", "outputs_of", "rewards_of"]

Run = Callable[[PackedBatch], Output | Tensor]
"""The wrapped model."""


def outputs_of(run: Run, batch: PackedBatch) -> Output:
    """Rewards, with the costs of the row's targets where it names some."""
    found = run(batch)
    return found if isinstance(found, Output) else Output(found, None)


def rewards_of(run: Run, batch: PackedBatch) -> Tensor:
    """Rewards alone: targets are left out, but for those of a judge, whose rewards are made of them."""
    if batch.targets is not None and batch.verdicts is None:
        batch = replace(batch, targets=None)
    return outputs_of(run, batch).rewards
