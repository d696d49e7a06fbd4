"""The training loop of one rank: rows of a step -> gradient -> step -> checks -> evaluation -> metrics -> checkpoint.

`Hooks`, an argument, decide what happens to metrics.
"""

import math
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rm_core.batches.loader import PackLoader, RankStep
from rm_core.batches.packed import PackedBatch
from rm_core.model.families import group_of
from rm_core.model.reward_model import RewardModel
from rm_core.objectives.objective import Objective
from rm_core.objectives.verdict import REASONING, VERDICT
from rm_core.planner.memory import Memory
from rm_core.train_config.config import TRAINING_LOSS, TrainConfig
from rm_core.training.accumulation import Accumulator, StepSums, check_work
from rm_core.training.audit import WeightAudit
from rm_core.training.best import Evaluations
from rm_core.training.checkpointing import Checkpointing, Position
from rm_core.training.engines.interface import Engine
from rm_core.training.evaluation import EvaluationSet, GroupEvaluation
from rm_core.training.health import DataStalls, RewardDrift, Skips, check_agreement, explain_out_of_memory
from rm_core.training.observers import PhaseClock, Phases, Profiler, Speed
from rm_core.training.watchdog import Watchdog
from rm_core.training.window import Window

__all__ = ["Hooks", "StopTraining", "Trainer"]

_TERMS = {"short": VERDICT, "reasoning": REASONING}
"""What a judge minimises, by its form."""


class StopTraining(Exception):
    """The training was asked to end and has ended after a whole step, with a checkpoint; raised on every rank."""


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """Functions that the trainer calls: logging, stopping and saving are decided outside."""

    begin: Callable[[int], None]
    """(steps done), on every rank once the loop begins: 0, or those of the checkpoint."""
    log: Callable[[int, Mapping[str, float]], None]
    """(steps done, metrics by grouped name), on world rank 0 every `log_every` steps."""
    before_save: Callable[[], None]
    """On every rank before a checkpoint begins: what was logged so far has to last as the checkpoint does."""
    stop: Callable[[], bool]
    """Called once a step on every rank: whether the training shall end after this step. It must not wait."""
    note: Callable[[str], None]
    """(text), on any rank: what a person should know, such as a checkpoint that could not be read."""
    evaluated: Callable[[int, Mapping[str, float]], None] = lambda steps, numbers: None
    """(steps done, numbers by grouped name), on world rank 0 after every evaluation."""
    ended: Callable[[str], None] = lambda reason: None
    """(why), on world rank 0 where the training ends before its plan does, and exports its model."""
    artifact: Callable[[str, str], None] = lambda path, folder: None
    """(path, folder), on any rank: a file to be kept with the run; it is gone after the call."""


class Trainer:
    """Runs a plan from a step to its end.

    Args:
        model: what the engine runs.
        loader: this rank's packed rows.
        checkpoints: where the state goes and comes from.
        num_steps: optimiser steps of the whole plan.
        stage_starts: steps at which other groups of weights may begin to train; a new audit of weights begins there.
        watchdog: gets the step, row and phase of this rank.
        planned: the planner's estimate of memory, shown when memory runs out; None: on a CPU.
        sets: what to evaluate on, where the recipe evaluates while it trains.
    """

    def __init__(
        self,
        engine: Engine,
        model: RewardModel,
        loader: PackLoader,
        config: TrainConfig,
        hooks: Hooks,
        checkpoints: Checkpointing,
        *,
        num_steps: int,
        stage_starts: Collection[int] = (0,),
        watchdog: Watchdog,
        planned: Memory | None = None,
        sets: Sequence[EvaluationSet] = (),
    ) -> None:
        self._engine = engine
        self._model = model
        self._loader = loader
        self._config = config
        self._hooks = hooks
        self._checkpoints = checkpoints
        self._num_steps = num_steps
        self._stage_starts = stage_starts
        clock = PhaseClock(engine.device)
        self._planned = planned
        self._phases = Phases(watchdog, clock)
        self._speed = Speed(clock, engine.device, model.dtype)
        self._profiler = Profiler(config.profile, engine.world_rank, num_steps, hooks.artifact)
        note = hooks.note if engine.world_rank == 0 else _silent
        self._skips = Skips(config.health.max_skipped_steps, note)
        self._drift = RewardDrift(config.health, note)
        self._stalls = DataStalls(config, note)
        critic = config.critic if config.paradigm == "critic" else None
        judges = _TERMS[config.generative.form] if model.judges else ""
        self._accumulator = Accumulator(engine, model, Objective(config.objective), self._phases, critic, judges=judges)
        group = GroupEvaluation(engine, model, config, sets, self._phases, hooks.stop) if sets else None
        self._evaluations = Evaluations(group, config, num_steps, self._log_evaluation)
        self._window = Window(self._accumulator.names, engine.device)
        self._since_save = Window(self._accumulator.names, engine.device)
        self.steps_done = 0
        """Optimiser steps of all attempts."""
        self.last_metrics: Mapping[str, float] = {}
        """The metrics of the last window."""

    @property
    def ended(self) -> str:
        """Why the training ends before its plan does; empty while it does not."""
        return self._evaluations.ended

    def run(self) -> None:
        """Train to the end of the plan, or to an early one; the last step always writes a checkpoint.

        Raises:
            RunError: losses or gradients are not finite, a step did other work than planned, ranks differ, a row
                doesn't fit into memory, or weights that train stood still, or others moved.
            StopTraining: `Hooks.stop` said so.
        """
        self._hooks.begin(self.steps_done)
        self._window.start()
        if self._catch_up() and not self.ended:
            self._steps()
        self._phases.enter("checkpoint")
        self._checkpoints.close()
        if self.ended and self._engine.world_rank == 0:
            self._hooks.ended(self.ended)
        if self.steps_done < self._num_steps and not self.ended:
            raise StopTraining(f"after step {self.steps_done} of {self._num_steps}")

    def _catch_up(self) -> bool:
        """Evaluate what an attempt that was asked to stop left out; False where this one is asked to stop too."""
        standing = self._evaluations.state
        if not self._evaluations.after(self.steps_done):
            return False
        if self._evaluations.state != standing and self._config.best_metric != TRAINING_LOSS:
            self._checkpoints.judge(self.steps_done, self._evaluations.score(self.steps_done, math.inf))
        return True

    def _steps(self) -> None:
        """All steps that are left, or those up to a stop or an early end."""
        audit = self._new_audit()
        for step, rows in self._loader.steps(self.steps_done):
            if step.plan.index in self._stage_starts:
                audit = self._new_audit()
            rates = self._engine.learning_rates
            with self._profiler.step(step.plan.index + 1):
                sums, grad_norm = self._take(step, rows)
            check_work(step.plan, sums, self._model.kernel)
            skipped = self._skips.after(step.plan.index, sums, grad_norm)
            self.steps_done = step.plan.index + 1
            if not skipped:
                self._audit(audit, sums, rates, grad_norm)
            self._window.add(sums, skipped=skipped)
            self._since_save.add(sums, skipped=skipped)
            self._speed.add(step.plan.cost)
            self._compare_ranks(step, rates)
            ends = self._evaluate(asked_to_stop=sums["stops"] > 0)
            if self._due(self._config.log_every) or self.ended:
                self._log(step, rates, grad_norm)
            if ends or self._due(self._config.checkpoint_every):
                self._save()
            if ends:
                break
            self._phases.enter("loading", step=self.steps_done, row=0)

    def _evaluate(self, *, asked_to_stop: bool) -> bool:
        """Evaluate where it is due, and nobody waits for the group's end; returns whether this step is the last."""
        if asked_to_stop and self.steps_done < self._num_steps:
            return True
        return not self._evaluations.after(self.steps_done) or bool(self.ended) or asked_to_stop

    def _take(self, step: RankStep, rows: Iterator[PackedBatch]) -> tuple[StepSums, float]:
        """Accumulate the gradient and take the step; returns the step's sums and the norm of the gradient."""
        try:
            sums = self._accumulator.run(step, rows, stop=self._hooks.stop())
            return sums, self._engine.step()
        except (RuntimeError, MemoryError) as error:
            row, device = self._accumulator.row, self._engine.device
            explained = explain_out_of_memory(error, row, self._config, device, self._planned)
            if explained is None:
                raise
            raise explained from error

    def _compare_ranks(self, step: RankStep, rates: Mapping[str, float]) -> None:
        every = self._config.health.compare_ranks_every
        if every and self.steps_done % every == 0:
            group = partial(group_of, model_type=self._model.family.model_type)
            facts = {f"rates of {part}": rate for part, rate in rates.items()}
            facts["Comparisons of the plan"] = float(zlib.crc32(repr(step.plan.rows).encode()))
            engine = self._engine
            check_agreement(self.steps_done, engine.replicas(), group, facts, together=engine.copy_group)

    def _new_audit(self) -> WeightAudit:
        group = partial(group_of, model_type=self._model.family.model_type)
        return WeightAudit(self._engine.named_parameters(), self._engine.masters, group, self._engine.device)

    def _audit(self, audit: WeightAudit, sums: StepSums, rates: Mapping[str, float], grad_norm: float) -> None:
        """Check that this step moved the weights that it should, unless it had no gradient at all."""
        nothing_to_learn = sums["pairs"] == 0 and grad_norm == 0
        if audit.done or nothing_to_learn:
            return
        rising = any(rate > rates[part] for part, rate in self._engine.learning_rates.items())
        audit.after(self.steps_done, rates, images=sums["distinct_patches"] > 0, rising=rising)

    def resume(self) -> None:
        """Continue after the newest checkpoint's step, if there is one; a collective call."""
        position = self._checkpoints.resume()
        if position is not None:
            self.steps_done = position.steps_done
            self._window.restore(position.window)
            self._drift.first = position.first_rewards
            self._evaluations.restore(position.evaluations)

    def _save(self) -> None:
        self._phases.enter("checkpoint")
        self._hooks.before_save()
        loss = self._since_save.loss()
        evaluations = self._evaluations
        position = Position(self.steps_done, self._window.sums.clone(), self._drift.first, evaluations.state)
        self._checkpoints.save(position, score=evaluations.score(self.steps_done, loss))

    def _due(self, every: int) -> bool:
        return self.steps_done % every == 0 or self.steps_done == self._num_steps

    def _log(self, step: RankStep, rates: Mapping[str, float], grad_norm: float) -> None:
        """Hand the means since the last point to the hook, and start a new window."""
        self._phases.enter("metrics")
        metrics = self._window.metrics()
        metrics |= {"train/epoch": step.plan.epoch, "train/progress": self.steps_done / self._num_steps}
        if math.isfinite(grad_norm):  # a store of metrics may keep infinity as 1.8e308, and no chart shows the rest
            metrics["train/grad_norm"] = grad_norm
        speed, waited = self._speed.metrics()
        metrics |= speed
        self._stalls.after(self.steps_done, waited.rank, waited.share)
        drift = self._drift.after(self.steps_done, metrics)
        if drift is not None:
            metrics["health/reward_drift"] = drift
        metrics["train/learning_rate"] = max(rates.values())
        if len(set(rates.values())) > 1:
            metrics |= {f"train/learning_rate_{part}": rate for part, rate in rates.items()}
        self.last_metrics = metrics
        if self._engine.world_rank == 0:
            self._hooks.log(self.steps_done, metrics)

    def _log_evaluation(self, steps_done: int, numbers: Mapping[str, float]) -> None:
        if self._engine.world_rank == 0:
            self._hooks.evaluated(steps_done, numbers)


def _silent(_text: str) -> None:
    """Drop a note on ranks above 0: world rank 0 reports for all."""
