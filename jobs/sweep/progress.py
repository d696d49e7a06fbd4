"""What becomes of a sweep's trials: written to its folder, to its MLflow run, and for the terminal."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data_pipeline.shown import markdown, unwrapped
from data_pipeline.storage import exists, join
from jobs.recipe.schema import Recipe
from jobs.runtime.terminal import Advance, say
from jobs.sweep.folder import SweepFolder, TrialState
from jobs.sweep.planned import settings_of
from jobs.sweep.trial import early_reason
from jobs.tracking.tracker import Tracker

__all__ = ["SweepProgress", "results_rows", "results_table", "sweep_page"]

RESULTS = "Results"
_CELL_CHARS = 600


class SweepProgress:
    """The `jobs.sweep.tune.Listener` of a sweep.

    Args:
        recipe: the sweep's.
        recipes: of the trials, by id; a search adds to them.
        states: of the trials, by id, likewise.
        tracker: of the sweep's own MLflow run.
        stop_reason: why the sweep stops; None while it goes on.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: SweepFolder,
        recipes: Mapping[str, Recipe],
        states: Mapping[str, TrialState],
        tracker: Tracker,
        stop_reason: Callable[[], str | None],
    ) -> None:
        self._recipe = recipe
        self._folder = folder
        self._recipes = recipes
        self._states = states
        self._tracker = tracker
        self._stop_reason = stop_reason
        self._results: dict[str, Mapping[str, Any]] = {}
        self._advance: Advance = lambda done, note: None

    def show(self, advance: Advance) -> None:
        """From now on show progress there."""
        self._advance = advance
        self._tell()

    def started(self, trial: str) -> None:
        """An attempt begins."""
        state = self._states[trial]
        state.attempts += 1
        self._set(trial, "running", "")

    def progressed(self, trial: str, result: Mapping[str, Any]) -> None:
        """There is a new result."""
        self._results[trial] = result
        self._tell()

    def ended(self, trial: str, result: Mapping[str, Any]) -> None:
        """By itself, or because it was asked to."""
        state, reason = str(result.get("state", "ended")), str(result.get("reason", ""))
        stop_reason = self._stop_reason()
        if state == "ended" and self._folder.point_of(trial) is not None:  # it came to its own end meanwhile
            state = "finished"
        if state == "ended":
            stop_early = self._recipe.sweep.stop_early
            early = early_reason(result, None if stop_early is None else stop_early.reduction)
            state, reason = ("stopped", early) if stop_reason is None else ("pending", stop_reason)
        self._set(trial, state, reason)
        self._close(trial)
        if state == "failed":
            self._mark_failed(trial, reason)
        if state == "finished":
            self._update()

    def interrupted(self) -> None:
        """The whole sweep was asked to stop, and has: Tune says nothing of the trials that ran."""
        for trial in [trial for trial, state in self._states.items() if state.state == "running"]:
            self.ended(trial, self._results.get(trial, {}))

    def failed(self, trial: str, error: str, *, again: bool) -> None:
        """An attempt has failed."""
        name = self._states[trial].spec.name
        say(f"{name} failed: {error}{'; it starts again' if again else ''}")
        if again:
            return
        self._set(trial, "failed", error)
        self._close(trial)
        self._mark_failed(trial, error)

    def _set(self, trial: str, state: str, reason: str) -> None:
        self._states[trial].state, self._states[trial].reason = state, reason
        self._folder.write_state(self._states[trial])
        self._tell()

    def _close(self, trial: str) -> None:
        """Say how it ended."""
        self._results.pop(trial, None)
        state = self._states[trial]
        point = self._folder.point_of(trial) if state.state == "finished" else None
        outcome = state.reason if point is None else f"accuracy {point.accuracy:.3f}, log loss {point.log_loss:.3f}"
        say(f"{state.spec.name} ({trial}) {state.state}: {outcome}")

    def _mark_failed(self, trial: str, reason: str) -> None:
        """In MLflow too, where the trial could not do it itself; it has no run where it failed before its training."""
        recipe = self._recipes[trial]
        if exists(join(recipe.train.output, "job_state.json")):
            Tracker(recipe.tracking, run_dir=recipe.train.output, run_name=recipe.name).finish("FAILED", reason)

    def _update(self) -> None:
        """The numbers and the table of the sweep's own run."""
        config, states = self._recipe.sweep, list(self._states.values())
        self._tracker.write_page(sweep_page(self._recipe, self._folder, states), {})
        numbers = {s.spec.id: self._folder.numbers_of(s.spec.id) for s in states if s.state == "finished"}
        values = [found[config.metric] for found in numbers.values() if config.metric in found]
        metrics = {"sweep/finished": float(len(numbers))}
        if values:
            metrics[f"sweep/best_{config.metric}"] = max(values) if config.mode == "max" else min(values)
        self._tracker.log_metrics(metrics, step=len(numbers))

    def _tell(self) -> None:
        counts = [state.state for state in self._states.values()]
        over = [f"{counts.count(kind)} {kind}" for kind in ("failed", "stopped") if kind in counts]
        running = [self._line(trial) for trial, state in self._states.items() if state.state == "running"]
        parts = [f"{counts.count('running')} running", *over, *running]
        self._advance(sum(kind in ("finished", "failed", "stopped") for kind in counts), "; ".join(parts))

    def _line(self, trial: str) -> str:
        result = self._results.get(trial, {})
        steps = f"step {result['step']} of {result['num_steps']}, " if result.get("num_steps") else ""
        return f"{self._states[trial].spec.name}: {steps}{result.get('note', 'starts')}"


def sweep_page(recipe: Recipe, folder: SweepFolder, states: Sequence[TrialState]) -> dict[str, str]:
    """Parts of the description of the sweep's own run, by heading; its first lines are what the folded page shows."""
    config = recipe.sweep
    kinds = [state.state for state in states]
    summary = [f"**{kinds.count('finished')} of {len(kinds)} trials finished**"]
    summary += [f"{kinds.count(kind)} {kind}" for kind in ("running", "failed", "stopped") if kind in kinds]
    _, rows = results_rows(recipe, folder, states)
    if rows and rows[0][2]:
        summary.append(f"best {config.metric}: {rows[0][2]}, by {_cell(rows[0][0])}, seed {rows[0][1]}")
    axes = ", ".join(f"`{axis}`" for axis in [*config.parameters, *config.points])
    about = (
        f"Sweep of recipe `{recipe.name}`: {config.method} over {axes}; seeds {', '.join(map(str, config.seeds))}; "
        f"ranked by `{config.metric}`. Each trial is a run below this one.\n\nFiles: `{config.output}`."
    )
    return {"": f"{' · '.join(summary)}\n\n{about}", RESULTS: results_table(recipe, folder, states)}


def results_rows(
    recipe: Recipe, folder: SweepFolder, states: Sequence[TrialState]
) -> tuple[list[str], list[list[str]]]:
    """(column names, rows) of the trials: the best first, then those that are not finished.

    "over longer" is the accuracy less that of the rule that the longer answer wins.
    """
    config = recipe.sweep
    found = {state.spec.id: folder.numbers_of(state.spec.id) for state in states}
    values = {trial: numbers.get(config.metric) for trial, numbers in found.items()}
    sign = -1.0 if config.mode == "max" else 1.0

    def order(state: TrialState) -> tuple[bool, float]:
        value = values[state.spec.id]
        return value is None, 0.0 if value is None else sign * value

    rows = []
    for state in sorted(states, key=order):
        spec, value = state.spec, values[state.spec.id]
        point = folder.point_of(spec.id) if state.state == "finished" else None
        numbers = ["" if value is None else f"{value:.4f}", "" if point is None else f"{point.log_loss:.4f}"]
        over = found[spec.id].get("over_length")
        numbers.append("" if over is None else f"{over:+.4f}")
        summary = f"{state.state}: {state.reason}" if state.reason else state.state
        rows.append([spec.label, str(spec.seed), *numbers, summary, settings_of(spec.overrides)])
    return ["trial", "seed", config.metric, "log loss", "over longer", "state", "settings"], rows


def results_table(recipe: Recipe, folder: SweepFolder, states: Sequence[TrialState]) -> str:
    """The rows of `results_rows` in Markdown."""
    head, rows = results_rows(recipe, folder, states)
    lines = [
        head,
        ["---", "---", "---:", "---:", "---:", "---", "---"],
        *([_cell(cell) for cell in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return markdown(unwrapped(text), _CELL_CHARS)
