"""The door to Ray Tune: which trial is started next, which is ended early, and how often a failed one is tried again.

    Suggestions: unfinished trials first, then what Optuna picks -> Tune -> `jobs.sweep_trial.SweepTrial` actors
                      ^------------------ results ------------------'

Tune keeps nothing: the state of a sweep is in its own folder.
"""

import logging
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

# Read by Ray Tune when it is imported or runs.
os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")  # a trial that waits for room has no loss yet
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C is the command line's
os.environ.setdefault("TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from jobs.sweep_axes import Axis, Choices
from jobs.sweep_config import StopEarlyConfig, SweepConfig
from jobs.sweep_trial import SweepJob, SweepTrial
from jobs.sweep_trials import TrialSpec, picks_of, spec_of_picks

logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # errors of trials are in their logs

__all__ = ["Listener", "Search", "Suggestions", "run_trials"]

MOST_STEPS = 10**9
NODE_SHARE = 0.001  # of the driver's node, so that trials run there; they take no CPU, their workers do


class Listener(Protocol):
    """Who is told what becomes of trials; `trial` is their id."""

    def started(self, trial: str) -> None:
        """An attempt begins."""

    def progressed(self, trial: str, result: Mapping[str, Any]) -> None:
        """There is a new result."""

    def ended(self, trial: str, result: Mapping[str, Any]) -> None:
        """By itself, or because it was told to; `result` is the last one."""

    def failed(self, trial: str, error: str, *, again: bool) -> None:
        """An attempt has failed; `again`: there is another one."""


@dataclass(kw_only=True)
class Search:
    """What Optuna needs."""

    axes: Mapping[str, Axis]
    seed: int
    mode: str
    known: dict[str, TrialSpec] = field(default_factory=dict)
    """Trials that there are already, by id."""
    values: Mapping[str, float] = field(default_factory=dict)
    """What those that finished reached, by id."""
    left: int = 0
    """Trials still to pick."""


class _OfThisProcess:
    """Tune pickles what it is given, for restarts of its own, which are not used: these objects are left out."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class Suggestions(_OfThisProcess, Searcher):
    """Trials for Tune: those given, then those that Optuna picks.

    Args:
        given: trials to run, in this order.
        search: what Optuna continues with; None: it is not used.
        prepare: called with a picked trial before it is suggested; makes what it needs.
    """

    def __init__(self, given: Iterable[TrialSpec], search: Search | None, prepare: Callable[[TrialSpec], None]) -> None:
        super().__init__()
        self._given = deque(given)
        self._search = search
        self._prepare = prepare
        self._optuna: Any = None if search is None else _optuna(search)
        self._of_optuna: dict[str, str] = {}  # Tune's id of a trial -> Optuna's
        self._specs: dict[str, TrialSpec] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next trial for Tune's `trial_id`, or that there is none."""
        spec = self._given.popleft() if self._given else self._pick(trial_id)
        if spec is None:
            return Searcher.FINISHED
        self._specs[trial_id] = spec
        return {"trial": spec.id}

    def _pick(self, trial_id: str) -> TrialSpec | None:
        """A trial that there is not yet; None where all are picked, or Optuna finds no new one."""
        search = self._search
        if search is None or search.left < 1:
            return None
        for turn in range(len(search.known) + 20):
            name = f"{trial_id}.{turn}"
            spec = spec_of_picks(search.axes, self._optuna.suggest(name), search.seed)
            if spec.id not in search.known:
                self._of_optuna[trial_id] = name
                search.known[spec.id] = spec
                search.left -= 1
                self._prepare(spec)
                return spec
            self._optuna.on_trial_complete(name, {"metric": search.values.get(spec.id)})
        return None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell Optuna how a trial ended."""
        if self._search is None:
            return
        value = (result or {}).get("metric")
        if name := self._of_optuna.get(trial_id):
            self._optuna.on_trial_complete(name, {} if value is None else {"metric": value}, error)
        elif value is not None:
            self._optuna.add_evaluated_point(picks_of(self._search.axes, self._specs[trial_id]), value)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Optuna learns from ends only."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the folder of the sweep has it."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, as `save`."""


def _optuna(search: Search) -> Any:
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {name: _distribution(axis) for name, axis in search.axes.items()}
    found = OptunaSearch(space, metric="metric", mode=search.mode, seed=search.seed)
    for trial, value in search.values.items():
        found.add_evaluated_point(picks_of(search.axes, search.known[trial]), value)
    return found


def _distribution(axis: Axis) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(axis, Choices):
        return CategoricalDistribution([option.label for option in axis.options])
    if axis.kind == "int":
        return IntDistribution(int(axis.low), int(axis.high))
    return FloatDistribution(axis.low, axis.high, log=axis.kind == "loguniform")


class _Callback(_OfThisProcess, tune.Callback):
    """Tune's words to ours."""

    def __init__(self, listener: Listener, board: Any) -> None:
        self._listener = listener
        self._board = board

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
        ray.get(self._board.leave.remote(name))
        said = ray.get(self._board.failure.remote(name))
        self._listener.failed(name, said or "its process died", again=again)


class _Ends(_OfThisProcess, tune.Stopper):
    """Ends all trials when there is a reason to."""

    def __init__(self, ends: Callable[[], str | None], board: Any) -> None:
        self._ends = ends
        self._board = board

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        reason = self._ends()
        if reason is not None:
            ray.get(self._board.end.remote(reason))
        return reason is not None


def run_trials(
    config: SweepConfig,
    job: SweepJob,
    suggestions: Suggestions,
    listener: Listener,
    ends: Callable[[], str | None],
    *,
    num_trials: int,
    at_once: int,
    grace_s: float,
) -> None:
    """Run all trials that are suggested, each to its end; failed ones again, up to `config.max_failures` times.

    Args:
        ends: why the whole sweep shall end now; None while it shall not.
        num_trials: at most so many are suggested.
        grace_s: how long a trial that was told to end has for its checkpoint.
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
                stop=_Ends(ends, job.board),
                callbacks=[_Callback(listener, job.board)],
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
