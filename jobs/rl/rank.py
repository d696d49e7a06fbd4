"""What each worker of a reinforcement learning runs, and what it says to the driver and to MLflow."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray.train import get_context

from data_pipeline.errors import RecipeError
from jobs.rl.prepare import PromptsOf, fingerprint_of
from jobs.rl.scorers import make_scorer
from jobs.tracking.metric_logger import MetricLogger
from jobs.train.coordinator import StopRequested
from jobs.train.logged_run import LoggedRun
from rm_core.rl.config import RlConfig
from rm_core.training.trainer import Hooks

__all__ = ["RlJob"]


@dataclass(frozen=True, kw_only=True)
class RlJob:
    """A reinforcement learning as a `GroupJob`."""

    config: RlConfig
    source: PromptsOf
    fingerprint: str
    """Of the prompts that the driver has read."""
    lineage: Mapping[str, object]
    store: str | None
    """MLflow's, for addresses of reward models."""
    reading: Mapping[str, Any]
    run: LoggedRun
    use_gpu: bool
    all_steps: int
    section: str = "rl"
    together: int = 1

    def work(self, coordinator: Any) -> None:
        """Learn on this rank.

        Raises:
            RecipeError: this node reads other prompts than the driver.
        """
        prompts = self.source.read()
        if fingerprint_of(prompts) != self.fingerprint:
            raise RecipeError(
                f"{ray.util.get_node_ip_address()} reads other prompts than the driver: the files of rl.prompts differ "
                "between machines, or have changed meanwhile"
            )
        watch, context = self.config.watch, get_context()
        train, heldout = prompts.divided(watch.heldout_fraction if watch.every else 0.0)
        rank, local_rank = context.get_world_rank(), context.get_local_rank()
        scorers = partial(make_scorer, config=self.config.reward, store=self.store, reading=self.reading)
        learn = partial(_train, self, train=train, heldout=heldout, scorers=scorers, rank=rank, local_rank=local_rank)
        if rank != 0:
            with self.run.node_watched(coordinator.note.remote) as flush:
                learn(hooks=_silent_hooks(coordinator, flush))
            return
        with self.run.logger(coordinator.note.remote) as logger:
            ended_early = learn(hooks=_hooks(coordinator, logger, self.config.warm_up.steps))
        if not ended_early:
            ray.get(coordinator.advance.remote(self.all_steps, "exported", None))


def _train(job: RlJob, *, train: Any, heldout: Any, scorers: Any, rank: int, local_rank: int, hooks: Hooks) -> bool:
    from rm_core.rl.worker import RlRank, train_rank

    return train_rank(
        RlRank(
            config=job.config, train=train, heldout=heldout, make_scorer=scorers, hooks=hooks, rank=rank,
            local_rank=local_rank,
        ),
        job.lineage,
    )  # fmt: skip


def _silent_hooks(coordinator: Any, flush: Callable[[], None]) -> Hooks:
    def silent(*_: object) -> None:
        """World rank 0 speaks for all."""

    return Hooks(
        begin=silent, log=silent, before_save=flush, stop=StopRequested(coordinator), note=coordinator.note.remote
    )


def _hooks(coordinator: Any, logger: MetricLogger, warm_up_steps: int) -> Hooks:
    """World rank 0's. Steps of the driver's bar are those of the warm-up, then those of GRPO."""
    begun: list[int] = []

    def begin(steps: int) -> None:
        if not begun:
            ray.get(coordinator.started.remote(steps))
        begun.append(steps)

    def log(steps: int, metrics: Mapping[str, float]) -> None:
        logger.log(steps, metrics)
        if "warm_up/loss" in metrics:
            note, done = f"warm-up, loss {metrics['warm_up/loss']:.3f}", steps
        elif "rl/reward" in metrics:
            note = f"reward {metrics['rl/reward']:.3f}, {metrics.get('rl/answer_tokens', 0.0):.0f} tokens an answer"
            done = warm_up_steps + steps
        else:
            return
        coordinator.advance.remote(done, note, metrics.get("train/loss", metrics.get("warm_up/loss")))

    def evaluated(steps: int, numbers: Mapping[str, float]) -> None:
        coordinator.evaluated.remote(f"gold {numbers['gold']:.3f} at {steps}")

    return Hooks(
        begin=begin,
        log=log,
        before_save=logger.flush,
        stop=StopRequested(coordinator),
        note=coordinator.note.remote,
        evaluated=evaluated,
        ended=lambda reason: ray.get(coordinator.end_early.remote(reason)),
    )
