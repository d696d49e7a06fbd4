"""The training loop of one rank: rows of a step -> gradient -> step -> checks -> metrics -> checkpoint.

What happens to metrics is not decided here: `Hooks` are handed in.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

from rm_core.batches.loader import PackLoader, RankStep
from rm_core.model.families import group_of
from rm_core.model.reward_model import RewardModel
from rm_core.objectives.objective import Objective
from rm_core.training.accumulation import Accumulator, StepSums
from rm_core.training.audit import WeightAudit
from rm_core.training.checkpointing import Checkpointing, Position
from rm_core.training.checks import check_step
from rm_core.training.config import TrainConfig
from rm_core.training.engine import ZeroEngine
from rm_core.training.watchdog import Watchdog
from rm_core.training.window import Window

__all__ = ["Hooks", "StopTraining", "Trainer"]


class StopTraining(Exception):
    """The training was asked to end and has ended after a whole step, with a checkpoint; raised on every rank."""


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What the trainer hands out."""

    begin: Callable[[int], None]
    """(steps done), on every rank once the loop begins: 0, or those of the checkpoint."""
    log: Callable[[int, Mapping[str, float]], None]
    """(steps done, metrics by grouped name), on world rank 0 every `log_every` steps."""
    before_save: Callable[[], None]
    """On every rank before a checkpoint is begun: what was logged up to here has to last as it does."""
    stop: Callable[[], bool]
    """Asked once a step on every rank, and answers at once: whether the training shall end after it."""
    note: Callable[[str], None]
    """(text), on any rank: what a person should know, such as a checkpoint that could not be read."""


class Trainer:
    """Runs a plan from a step to its end.

    Args:
        model: what the engine runs.
        loader: this rank's packed rows.
        checkpoints: where the state goes and comes from.
        num_steps: optimiser steps of the whole plan.
        stage_starts: steps at which other groups of weights may begin to train: the audit of weights begins anew.
        watchdog: is told where this rank is.
    """

    def __init__(
        self,
        engine: ZeroEngine,
        model: RewardModel,
        loader: PackLoader,
        config: TrainConfig,
        hooks: Hooks,
        checkpoints: Checkpointing,
        *,
        num_steps: int,
        stage_starts: Collection[int] = (0,),
        watchdog: Watchdog,
    ) -> None:
        self._engine = engine
        self._model = model
        self._loader = loader
        self._config = config
        self._hooks = hooks
        self._checkpoints = checkpoints
        self._num_steps = num_steps
        self._stage_starts = stage_starts
        self._watchdog = watchdog
        self._accumulator = Accumulator(engine, model, Objective(config.objective), watchdog)
        self._window = Window(self._accumulator.names, engine.device)
        self._since_save = Window(self._accumulator.names, engine.device)
        self._steps_done = 0

    def run(self) -> None:
        """Train to the end of the plan; the last step always writes a checkpoint.

        Raises:
            RunError: a loss or gradient is not finite, a step did other work than planned, or weights that train stood
                still, or others moved.
            StopTraining: `Hooks.stop` said so.
        """
        self._hooks.begin(self._steps_done)
        self._window.start()
        audit = self._new_audit()
        for step, rows in self._loader.steps(self._steps_done):
            if step.plan.index in self._stage_starts:
                audit = self._new_audit()
            sums = self._accumulator.run(step, rows, stop=self._hooks.stop())
            rates = self._engine.learning_rates
            grad_norm = self._engine.step()
            check_step(step.plan, sums, grad_norm, self._model.kernel)
            self._audit(audit, sums, rates, grad_norm)
            self._steps_done = step.plan.index + 1
            self._window.add(sums)
            self._since_save.add(sums)
            if self._due(self._config.log_every):
                self._log(step, rates, grad_norm)
            stops = sums["stops"] > 0
            if stops or self._due(self._config.checkpoint_every):
                self._save()
            if stops:
                break
            self._watchdog.enter("loading", step=self._steps_done, row=0)
        self._watchdog.enter("checkpoint")
        self._checkpoints.close()
        if self._steps_done < self._num_steps:
            raise StopTraining(f"after step {self._steps_done} of {self._num_steps}")

    def _new_audit(self) -> WeightAudit:
        group = partial(group_of, model_type=self._model.family.model_type)
        return WeightAudit(self._model.named_parameters(), self._engine.masters, group, self._engine.device)

    def _audit(self, audit: WeightAudit, sums: StepSums, rates: Mapping[str, float], grad_norm: float) -> None:
        """Have the weights looked at that this step has to have moved, if it was one with a gradient at all."""
        nothing_to_learn = sums["pairs"] == 0 and grad_norm == 0
        if audit.done or nothing_to_learn:
            return
        rising = any(rate > rates[part] for part, rate in self._engine.learning_rates.items())
        audit.after(self._steps_done, rates, images=sums["distinct_patches"] > 0, rising=rising)

    def resume(self) -> None:
        """Continue after the newest checkpoint's step, if there is one; a collective call."""
        position = self._checkpoints.resume()
        if position is not None:
            self._steps_done = position.steps_done
            self._window.restore(position.window)

    def _save(self) -> None:
        self._watchdog.enter("checkpoint")
        self._hooks.before_save()
        loss = self._since_save.loss()
        self._checkpoints.save(Position(self._steps_done, self._window.sums.clone()), score=loss)

    def _due(self, every: int) -> bool:
        return self._steps_done % every == 0 or self._steps_done == self._num_steps

    def _log(self, step: RankStep, rates: Mapping[str, float], grad_norm: float) -> None:
        """Hand the means since the last point to the hook, and start a new window."""
        self._watchdog.enter("metrics")
        metrics = self._window.metrics() | {"train/grad_norm": grad_norm, "train/epoch": step.plan.epoch}
        metrics["train/learning_rate"] = max(rates.values())
        if len(set(rates.values())) > 1:
            metrics |= {f"train/learning_rate_{part}": rate for part, rate in rates.items()}
        if self._engine.world_rank == 0:
            self._hooks.log(self._steps_done, metrics)
