"""The training loop of one rank: rows of a step -> gradient -> step -> metrics -> checkpoint.

What happens to metrics and checkpoints is not decided here: `Hooks` are handed in.
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from data_pipeline.errors import RunError
from rm_core.batches.loader import PackLoader, RankStep
from rm_core.batches.packed import PackedBatch
from rm_core.objectives.pairwise import bradley_terry
from rm_core.training.config import TrainConfig
from rm_core.training.engine import ZeroEngine

__all__ = ["Hooks", "Trainer"]

_TOTALS = ("loss", "pairs", "correct", "margin", "reward", "reward_squared", "responses", "tokens", "comparisons")


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What the trainer hands out."""

    begin: Callable[[int], None]
    """(steps done), on every rank once the loop begins: 0, or those of the checkpoint."""
    log: Callable[[int, Mapping[str, float]], None]
    """(steps done, metrics by grouped name), on world rank 0 every `log_every` steps."""
    save: Callable[[int, Callable[[str], None]], None]
    """(steps done, write into a folder), on every rank: keep what `write` writes, complete or not at all."""


class Trainer:
    """Runs a plan from a step to its end.

    Args:
        loader: this rank's packed rows.
        num_steps: optimiser steps of the whole plan.
    """

    def __init__(
        self, engine: ZeroEngine, loader: PackLoader, config: TrainConfig, hooks: Hooks, num_steps: int
    ) -> None:
        self._engine = engine
        self._loader = loader
        self._config = config
        self._hooks = hooks
        self._num_steps = num_steps
        self._steps_done = 0
        self._window = torch.zeros(len(_TOTALS), dtype=torch.float64)
        self._window_start_s = time.perf_counter()

    def run(self) -> None:
        """Train to the end of the plan; the last step always writes a checkpoint.

        Raises:
            RunError: a loss or gradient is not finite, or a step processed other pairs than planned.
        """
        self._hooks.begin(self._steps_done)
        self._window_start_s = time.perf_counter()
        for step, rows in self._loader.steps(self._steps_done):
            totals = self._accumulate(step, rows)
            learning_rate = self._engine.learning_rate
            grad_norm = self._engine.step()
            self._steps_done = step.plan.index + 1
            _check_step(step, totals, grad_norm)
            self._window += totals
            if self._due(self._config.log_every):
                self._log(step, learning_rate, grad_norm)
            if self._due(self._config.checkpoint_every):
                self._hooks.save(self._steps_done, self._write)

    def resume(self, folder: str) -> None:
        """Continue after the last step of the checkpoint in `folder`; a collective call."""
        self._engine.load(folder)
        state = torch.load(self._state_file(folder), weights_only=True)
        self._steps_done = int(state["steps_done"])
        self._window = state["window"]
        torch.random.set_rng_state(state["cpu_random"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state(state["cuda_random"])

    def _write(self, folder: str) -> None:
        self._engine.save(folder)
        state = {
            "steps_done": self._steps_done,
            "window": self._window,
            "cpu_random": torch.random.get_rng_state(),
        }
        if torch.cuda.is_available():
            state["cuda_random"] = torch.cuda.get_rng_state()
        torch.save(state, self._state_file(folder))

    def _state_file(self, folder: str) -> str:
        return os.path.join(folder, f"trainer-rank-{self._engine.world_rank:05d}.pt")

    def _due(self, every: int) -> bool:
        return self._steps_done % every == 0 or self._steps_done == self._num_steps

    def _accumulate(self, step: RankStep, rows: Iterator[PackedBatch]) -> Tensor:
        """Back-propagate every row of this rank; returns the totals over all ranks, float64 [len(_TOTALS)]."""
        totals = torch.zeros(len(_TOTALS), dtype=torch.float64, device=self._engine.device)
        # The engine averages over ranks, so the sum over ranks divided by the step's pairs needs this factor.
        scale = self._engine.world_size / step.plan.num_pairs
        for batch in rows:
            rewards = self._engine.forward(batch.to(self._engine.device))
            loss = bradley_terry(rewards, batch.labels.pairs.to(rewards.device))
            self._engine.backward(loss.sum * scale)
            detached = rewards.detach().double()
            sums = [
                loss.sum.detach(),
                loss.count,
                loss.num_correct,
                loss.margin_sum,
                detached.sum(),
                detached.square().sum(),
            ]
            sums += [len(detached), batch.num_tokens, batch.num_comparisons]
            totals += torch.stack([torch.as_tensor(value, dtype=torch.float64).to(totals.device) for value in sums])
        dist.all_reduce(totals)
        return totals.cpu()

    def _log(self, step: RankStep, learning_rate: float, grad_norm: float) -> None:
        """Hand the means since the last point to the hook, and start a new window."""
        total = dict(zip(_TOTALS, self._window.tolist(), strict=True))
        seconds = time.perf_counter() - self._window_start_s
        reward_mean = total["reward"] / total["responses"]
        variance = max(0.0, total["reward_squared"] / total["responses"] - reward_mean**2)
        metrics = {
            "train/loss": total["loss"] / total["pairs"],
            "train/accuracy": total["correct"] / total["pairs"],
            "train/margin": total["margin"] / total["pairs"],
            "train/reward_mean": reward_mean,
            "train/reward_std": math.sqrt(variance),
            "train/grad_norm": grad_norm,
            "train/learning_rate": learning_rate,
            "train/epoch": step.plan.epoch,
            "system/comparisons_per_s": total["comparisons"] / seconds,
            "system/tokens_per_s": total["tokens"] / seconds,
        }
        if self._engine.world_rank == 0:
            self._hooks.log(self._steps_done, metrics)
        self._window.zero_()
        self._window_start_s = time.perf_counter()


def _check_step(step: RankStep, totals: Tensor, grad_norm: float) -> None:
    """Stop on numbers that are not finite, and where other work was done than the plan says."""
    loss, pairs = float(totals[0]), int(totals[1])
    if pairs != step.plan.num_pairs:
        raise RunError(f"step {step.plan.index} processed {pairs} pairs, its plan says {step.plan.num_pairs}")
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        raise RunError(
            f"step {step.plan.index}: loss sum {loss}, gradient norm {grad_norm}: lower optimizer.learning_rate, or "
            f"look at the Comparisons of this step: plan rows {list(step.plan.rows[:8])}..."
        )
