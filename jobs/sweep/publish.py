"""After the trials of a sweep: their results in the terminal, and how the sweep's own MLflow run ended."""

from collections.abc import Sequence

from data_pipeline.errors import RunError
from jobs.runtime.terminal import columns, say
from jobs.sweep.folder import SweepFolder, TrialState
from jobs.sweep.prepare import Sweep
from jobs.sweep.progress import results_rows
from jobs.tracking.tracker import Tracker

__all__ = ["publish"]


def publish(sweep: Sweep, tracker: Tracker, failed: Sequence[TrialState]) -> None:
    """Show the results and end the sweep's run.

    Args:
        failed: trials that failed for good.

    Raises:
        RunError: there are such.
    """
    show_results(sweep)
    if failed:
        names = "; ".join(f"{state.spec.name} ({state.reason})" for state in failed)
        reason = f"{len(failed)} of {len(sweep.states)} trials failed: {names}"
        tracker.finish("FAILED", reason)
        raise RunError(f"{reason}; the same command tries them again")
    tracker.finish()


def show_results(sweep: Sweep) -> None:
    """The trials for the terminal, the best first."""
    head, rows = results_rows(sweep.recipe, sweep.folder, list(sweep.states.values()))
    state = head.index("state")
    for row in rows:
        row[state] = row[state].partition(":")[0]  # why it ended stands above, where it did
    columns(f"Sweep {sweep.recipe.name}", head, rows)
    for words in held_out(sweep.folder, list(sweep.states)):
        say(words)
    say(f"report: {sweep.recipe.sweep.output}/report")


def held_out(folder: SweepFolder, trials: Sequence[str]) -> list[str]:
    """What the trials were evaluated on, one sentence each held-out part: Comparisons, groups, the longer answer."""
    names = ("num_comparisons", "num_groups", "length_only_accuracy")
    found = [folder.numbers_of(trial) for trial in trials]
    parts = dict.fromkeys(tuple(one[name] for name in names) for one in found if all(name in one for name in names))
    return [
        f"held out: {count:,.0f} Comparisons in {groups:,.0f} groups; the longer answer wins in {rule:.4f}"
        for count, groups, rule in parts
    ]
