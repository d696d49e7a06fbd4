"""After the trials of a sweep: their results in the terminal, and how the sweep's own MLflow run ended."""

from collections.abc import Sequence

from data_pipeline.errors import RunError
from jobs.runtime.terminal import columns, say
from jobs.sweep.folder import TrialState
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
    say(f"report: {sweep.recipe.sweep.output}/report")
