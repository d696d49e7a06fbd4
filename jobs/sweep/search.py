"""Which trial of a sweep comes next: those that are given, then those that Optuna picks."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ray.tune.search import Searcher

from jobs.sweep.axes import Axis, Choices
from jobs.sweep.trials import TrialSpec, picks_of, spec_of_picks

__all__ = ["OfThisProcess", "Search", "Suggestions"]


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


class OfThisProcess:
    """Tune pickles what it is given, for restarts of its own, which are not used: these objects are left out."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class Suggestions(OfThisProcess, Searcher):
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
