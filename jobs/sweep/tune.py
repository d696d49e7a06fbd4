"""The adapter to Ray Tune: which trial starts next, which is ended early, how often a failed one is tried again.

    Suggestions: unfinished trials first, then what Optuna picks -> Tune -> `jobs.sweep.trial.SweepTrial` actors
                      ^------------------ results ------------------'

Tune keeps nothing: the state of a sweep is in its own folder.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from jobs.recipe.sweep_config import StopEarlyConfig, SweepConfig
from jobs.sweep.search import OfThisProcess, Suggestions
from jobs.sweep.trial import SweepTrial
from jobs.sweep.trial_work import SweepJob

__all__ = ["Listener", "run_trials"]

MOST_STEPS = 10**9
NODE_SHARE = 0.001  # of the driver's node, so that trials run there; they take no CPU, their workers do


class Listener(Protocol):
    """Receives what becomes of trials; `trial` is their id."""

    def started(self, trial: str) -> None:
        """An attempt begins."""

    def progressed(self, trial: str, result: Mapping[str, Any]) -> None:
        """There is a new result."""

    def ended(self, trial: str, result: Mapping[str, Any]) -> None:
        """By itself, or because it was asked to; `result` is the last one."""

    def failed(self, trial: str, error: str, *, again: bool) -> None:
        """An attempt has failed; `again`: there is another one."""


class _Callback(OfThisProcess, tune.Callback):
    """Passes Tune's events on to the `Listener`."""

    def __init__(self, listener: Listener, coordinator: Any) -> None:
        self._listener = listener
        self._coordinator = coordinator

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_info: Any) -> None:
        self._listener.started(trial.config["trial"])

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_info: Any
    ) -> None:
        self._listener.progressed(trial.config["trial"], result)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **_info: Any) -> None:
        self._listener.ended(trial.config["trial"], trial.last_result or {})

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **_info: Any) -> None:
        self._failed(trial, again=True)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_info: Any) -> None:
        self._failed(trial, again=False)

    def _failed(self, trial: Trial, *, again: bool) -> None:
        name = trial.config["trial"]
        ray.get(self._coordinator.leave.remote(name))
        said = ray.get(self._coordinator.failure.remote(name))
        self._listener.failed(name, said or "its process died", again=again)


class _Stopper(OfThisProcess, tune.Stopper):
    """Stops all trials when there is a reason to."""

    def __init__(self, stop_reason: Callable[[], str | None], coordinator: Any) -> None:
        self._stop_reason = stop_reason
        self._coordinator = coordinator

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        reason = self._stop_reason()
        if reason is not None:
            ray.get(self._coordinator.stop.remote(reason))
        return reason is not None


def run_trials(
    config: SweepConfig,
    job: SweepJob,
    suggestions: Suggestions,
    listener: Listener,
    stop_reason: Callable[[], str | None],
    *,
    num_trials: int,
    at_once: int,
    grace_s: float,
) -> None:
    """Run all trials that are suggested, each to its end; failed ones again, up to `config.max_failures` times.

    Args:
        stop_reason: why the whole sweep shall stop now; None while it shall not.
        num_trials: at most so many are suggested.
        grace_s: how long a trial that was asked to end has for its checkpoint.
    """
    os.environ["TUNE_FORCE_TRIAL_CLEANUP_S"] = str(int(grace_s) + 30)
    here = {"CPU": 0, f"node:{ray.util.get_node_ip_address()}": NODE_SHARE}
    trainable = tune.with_resources(tune.with_parameters(SweepTrial, job=job), tune.PlacementGroupFactory([here]))
    with tempfile.TemporaryDirectory(prefix="basereward-ray-tune-") as folder:
        tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=suggestions,
                scheduler=_scheduler(config.stop_early),
                num_samples=num_trials,
                max_concurrent_trials=at_once,
                # Tune keeps an actor it may use again without a word, so one that shall end early would not hear of it.
                reuse_actors=config.stop_early is None,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=folder,
                verbose=0,
                stop=_Stopper(stop_reason, job.coordinator),
                callbacks=[_Callback(listener, job.coordinator)],
                failure_config=tune.FailureConfig(max_failures=config.max_failures),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()


def _scheduler(config: StopEarlyConfig | None) -> TrialScheduler:
    if config is None:
        return FIFOScheduler()
    return AsyncHyperBandScheduler(
        time_attr="step",
        metric="loss",
        mode="min",
        max_t=MOST_STEPS,
        grace_period=config.grace_steps,
        reduction_factor=config.reduction,
        stop_last_trials=False,
    )
