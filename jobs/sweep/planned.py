"""What a sweep is going to do: its trials, their GPUs, and, as the planner estimates, their hours and cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from data_pipeline.errors import MissingInput
from data_pipeline.storage import exists, join
from jobs.plan import Planned, planned_of
from jobs.recipe.schema import Recipe
from jobs.runtime.terminal import columns, say
from jobs.sweep.axes import Axis, Choices, label_of
from jobs.sweep.folder import TrialState

__all__ = ["planned_trial", "settings_of", "show_plan", "show_search"]

_MAX_SETTING_CHARS = 120


@dataclass(frozen=True, kw_only=True)
class PlannedTrial:
    """What the planner says of a trial.

    Attributes:
        gpus: workers.
        hours: of the training and one evaluation on the held-out split, on so many GPUs; None: neither a size nor a
            model folder is known.
        cost: dollars, as `hours`.
        fits: whether it fits into their memory.
        comparisons: of an epoch, or what else `train.global_batch` counts; None as `hours`.
        source: where the planner's numbers of the data are from.
    """

    gpus: int
    comparisons: int | None = None
    hours: float | None = None
    cost: float | None = None
    fits: bool = True
    source: str = ""


def planned_trial(recipe: Recipe) -> PlannedTrial:
    """Ask the planner."""
    gpus = recipe.plan.gpus or recipe.train.num_workers
    random = recipe.train.model == recipe.init_model.output and not exists(join(recipe.train.model, "config.json"))
    if recipe.plan.shape is None and random:
        recipe = replace(recipe, plan=replace(recipe.plan, shape=recipe.init_model.shape))
    try:
        planned: Planned = planned_of(recipe)
    except MissingInput:
        return PlannedTrial(gpus=gpus)
    evaluated = 1 + planned.time.evaluation_s / 3600 / planned.time.hours
    return PlannedTrial(
        gpus=gpus,
        comparisons=planned.workload.comparisons,
        hours=planned.time.hours * evaluated,
        cost=planned.time.cost * evaluated,
        fits=planned.memory.fits(planned.gpu),
        source=planned.workload.source,
    )


def settings_of(overrides: Mapping[str, Any]) -> str:
    """The overrides of a trial in one line."""
    text = ", ".join(f"{key}={label_of(value)}" for key, value in overrides.items())
    return text if len(text) <= _MAX_SETTING_CHARS else f"{text[:_MAX_SETTING_CHARS]}..."


def show_plan(recipe: Recipe, trials: Mapping[str, Recipe], states: Sequence[TrialState]) -> None:
    """Print the trials of a grid or a list, those that are finished too; the totals are of what is left.

    Args:
        trials: their recipes, by id.
    """
    planned = {state.spec.id: planned_trial(trials[state.spec.id]) for state in states}
    columns(
        f"Sweep {recipe.name}: {len(states)} trials",
        ["trial", "label", "seed", "state", "settings", "GPUs", "an epoch", "hours", "cost"],
        [_row(state, planned[state.spec.id]) for state in states],
    )
    left = [planned[state.spec.id] for state in states if state.state not in ("finished", "stopped")]
    _show_totals(recipe, left, len(states) - len(left))


def show_search(recipe: Recipe, axes: Mapping[str, Axis], states: Sequence[TrialState]) -> None:
    """Print what a search picks from; its trials are planned as the recipe itself is."""
    columns(
        f"Sweep {recipe.name}: a search of {recipe.sweep.num_samples} trials",
        ["axis", "values"],
        [(name, _values(axis)) for name, axis in axes.items()],
    )
    done = sum(state.state in ("finished", "stopped") for state in states)
    _show_totals(recipe, [planned_trial(recipe)] * max(0, recipe.sweep.num_samples - done), done)


def _row(state: TrialState, planned: PlannedTrial) -> list[str]:
    spec = state.spec
    hours = "" if planned.hours is None else _hours(planned.hours)
    if not planned.fits:
        hours = "does not fit"
    cost = "" if planned.cost is None else f"${planned.cost:,.0f}"
    return [
        spec.id,
        spec.label,
        str(spec.seed),
        state.state,
        settings_of(spec.overrides),
        str(planned.gpus),
        "" if planned.comparisons is None else f"{planned.comparisons:,}",
        hours,
        cost,
    ]


def _show_totals(recipe: Recipe, left: Sequence[PlannedTrial], done: int) -> None:
    known = [one for one in left if one.hours is not None]
    say(f"{len(left)} to do, {done} done; the largest on {max((one.gpus for one in left), default=0)} GPUs")
    if known:
        hours = sum(one.hours * one.gpus for one in known if one.hours is not None)
        cost = sum(one.cost for one in known if one.cost is not None)
        sources = list(dict.fromkeys(one.source for one in known))
        more = f"; and {len(sources) - 1} others" if len(sources) > 1 else ""
        say(f"in all {_hours(hours)} GPU hours, ${cost:,.0f}, estimated for {recipe.plan.gpu}")
        say(f"data: {sources[0]}{more}")
    if len(known) < len(left):
        say(
            f"{len(left) - len(known)} without an estimate: set plan.shape, as in a bundle {{plan.shape: 7b}}, or make "
            "the model folder first"
        )
    if too_large := sum(not one.fits for one in left):
        say(f"{too_large} do not fit into {recipe.plan.gpu}: `basereward plan` says what to change")
    say("nothing was started")


def _hours(hours: float) -> str:
    return f"{hours:,.1f}" if hours >= 1 else f"{hours:.2g}"


def _values(axis: Axis) -> str:
    if isinstance(axis, Choices):
        return ", ".join(option.label for option in axis.options)
    return f"{axis.kind} from {axis.low:g} to {axis.high:g}"
