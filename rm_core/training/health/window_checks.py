"""Checks of each step and of each window of steps.

A step whose loss or gradient is not finite is left out and named; too many in a row end the training. Rewards may
leave the scale that they had at first, as a learning rate too high makes them do; a rank may wait for its rows, as too
few loader workers make it do.
"""

import math
from collections.abc import Callable, Mapping

import torch.distributed as dist

from data_pipeline.errors import RunError
from data_pipeline.shown import one_line
from rm_core.train_config.config import HealthConfig, TrainConfig
from rm_core.training.accumulation import StepSums

__all__ = ["DataStalls", "RewardDrift", "Skips"]


_STALLED_WINDOWS = 3


class RewardDrift:
    """Compares each window's rewards with the first window's.

    Attributes:
        first: mean and standard deviation of the first window, to be kept with a checkpoint; None before it.
    """

    def __init__(self, config: HealthConfig, note: Callable[[str], None]) -> None:
        self._config = config
        self._note = note
        self._warned = False
        self.first: tuple[float, float] | None = None

    def after(self, step: int, metrics: Mapping[str, float]) -> float | None:
        """How far off this window is, in first standard deviations; None where there is nothing to compare.

        A mean of 5 after a first window of 1 +- 0.5 is 8 off; a spread of 2 after 0.5 is 4 times as far.

        Raises:
            RunError: further than `reward_drift`, and `stop_on_drift` is set.
        """
        if "train/reward_std" not in metrics:
            return None
        mean, spread = metrics["train/reward_mean"], metrics["train/reward_std"]
        if self.first is None:
            self.first = (mean, spread) if spread > 0 else None
            return None
        off = max(abs(mean - self.first[0]), spread) / self.first[1]
        if 0 < self._config.reward_drift < off:
            self._drifted(step, mean, spread, self.first)
        return off

    def _drifted(self, step: int, mean: float, spread: float, first: tuple[float, float]) -> None:
        text = (
            f"step {step}: rewards are {mean:.3g} +- {spread:.3g}, they began at {first[0]:.3g} +- {first[1]:.3g} "
            f"(train.health.reward_drift={self._config.reward_drift:g}): the learning rate may be too high, or the "
            "objective needs a term that holds the rewards (train.objective)"
        )
        if self._config.stop_on_drift:
            raise RunError(text)
        if not self._warned:
            self._note(text)
        self._warned = True


class DataStalls:
    """Warns once when a rank has waited for its rows through several windows in a row."""

    def __init__(self, config: TrainConfig, note: Callable[[str], None]) -> None:
        self._config = config
        self._note = note
        self._in_a_row = 0

    def after(self, step: int, rank: int, share: float) -> None:
        """One more window, in which `rank` waited longest, for `share` of the time."""
        self._in_a_row = self._in_a_row + 1 if share > self._config.health.data_wait else 0
        if self._in_a_row == _STALLED_WINDOWS:
            self._note(
                f"step {step}: rank {rank} waits for its rows {share:.0%} of the time: raise train.loader_workers (now "
                f"{self._config.loader_workers}) or train.prefetch (now {self._config.prefetch}), or put "
                "train.cache_dir on a faster disk"
            )


_NAMED = 8
_ID_CHARS = 80


class Skips:
    """Counts the steps that were left out; the engine has not changed weights or moments in them.

    Args:
        most: steps in a row that may be left out.
        note: gets what happened, on world rank 0.
    """

    def __init__(self, most: int, note: Callable[[str], None]) -> None:
        self._most = most
        self._note = note
        self._in_a_row = 0

    def after(self, index: int, sums: StepSums, grad_norm: float) -> bool:
        """Whether step `index` was left out; equal on all ranks, and a collective call where it was.

        Raises:
            RunError: too many in a row; says which Comparisons are behind it.
        """
        losses = {name: sums[f"loss_{name}"] for name in sums.units}
        if all(map(math.isfinite, (grad_norm, *losses.values()))):
            self._in_a_row = 0
            return False
        assert not math.isfinite(grad_norm), "the accumulator marks the gradient of a loss that is not finite"
        self._in_a_row += 1
        found = (
            f"step {index + 1}: loss sums {losses}, gradient norm {grad_norm}, by these Comparisons: {_suspects(sums)}"
        )
        if self._in_a_row > self._most:
            raise RunError(
                f"{found}; {self._in_a_row} steps in a row, train.health.max_skipped_steps is {self._most}: lower "
                "train.optimizer.learning_rate, or look at these Comparisons"
            )
        if dist.get_rank() == 0:
            self._note(f"{found}; the step was left out ({self._in_a_row} in a row)")
        return True


def _suspects(sums: StepSums) -> str:
    """Ids of the rows with a loss or reward that is not finite, of all ranks; where all are finite, of all rows."""
    own = [(ids, bool(finite)) for ids, finite in sums.rows]
    ranks: list[list[tuple[tuple[str, ...], bool]]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(ranks, own)
    rows = [row for rank in ranks for row in rank]
    bad = [ids for ids, finite in rows if not finite] or [ids for ids, _ in rows]
    named = [name for ids in bad for name in ids]
    shown = ", ".join(one_line(name, _ID_CHARS) for name in named[:_NAMED])
    return shown + (f", ... ({len(named)} in all)" if len(named) > _NAMED else "")
