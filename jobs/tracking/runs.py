"""`basereward runs`: the runs of the recipe's experiment, the newest first."""

from datetime import datetime

from data_pipeline.shown import one_line, unwrapped
from jobs.recipe.schema import Recipe
from jobs.runtime.terminal import columns, duration, say
from jobs.tracking.store import RunRow, read_runs

__all__ = ["run"]

_SHOWN = 30
_REASON_CHARS = 1000
_ID_CHARS = 8  # of 32: `compare` finds a run by the beginning of its id, and a narrow terminal shows it whole
_NAMES = ("started", "name", "state", "done", "took", "loss", "held-out", "run")


def run(recipe: Recipe) -> None:
    """List up to 30 runs of `recipe.tracking.experiment`.

    Raises:
        MissingInput: there is no such experiment.
        RunError: MLflow can't be reached.
    """
    rows = read_runs(recipe.tracking, _SHOWN)
    columns(f"Runs of {recipe.tracking.experiment} in {recipe.tracking.uri}", _NAMES, [_cells(row) for row in rows])
    for row in rows:
        if row.reason:
            reason = one_line(unwrapped(row.reason), _REASON_CHARS)
            say(f"{one_line(row.name)} ({row.run_id[:_ID_CHARS]}) {row.state}: {reason}")


def _cells(row: RunRow) -> list[str]:
    progress = row.metrics.get("train/progress")
    started = datetime.fromtimestamp(row.started_s).astimezone()
    return [
        f"{started:%m-%d %H:%M}",
        row.name,
        row.state,
        "" if progress is None else f"{progress:.0%}",
        duration(row.seconds),
        _number(row, "train/loss"),
        _number(row, "eval/accuracy"),
        row.run_id[:_ID_CHARS],
    ]


def _number(row: RunRow, name: str) -> str:
    return f"{row.metrics[name]:.4f}" if name in row.metrics else ""
