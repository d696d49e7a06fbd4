"""`basereward sweep`: one recipe in many variants -> trials, each trained and evaluated -> one report.

    prepare   check every trial's recipe -> which trials are to do -> one MLflow run with a child for each trial
    run       data and backbones that several trials read, once -> Ray Tune
              each trial, an actor: `basereward train`, `basereward evaluate`, its point     (`trial`, `trial_work`)
    report    tables, charts and page -> the folder and MLflow
    publish   results in the terminal, and how it ended

The same command again leaves finished trials as they are, continues those that were cut off, and tries failed ones
again. A changed recipe adds trials; those whose settings stay are kept.
"""

from jobs.recipe.schema import Recipe
from jobs.runtime.leases import writes
from jobs.sweep.prepare import make_tracker, prepare, show, start_tracking
from jobs.sweep.publish import publish
from jobs.sweep.report import write_sweep_report
from jobs.sweep.run import run_left_trials
from jobs.sweep.shared import Variants

__all__ = ["run"]


def run(recipe: Recipe, *, variants: Variants, dry_run: bool) -> None:
    """Run the sweep of `recipe.sweep`, or, with `dry_run`, print what it would do.

    Args:
        variants: makes the recipe with other settings.

    Raises:
        UserError: the sweep, or the recipe of one of its trials, is wrong; nothing has been started.
        RunError: trials failed for good; the others are finished.
    """
    if dry_run:
        show(prepare(recipe, variants))
    else:
        run_trials(recipe, variants)


@writes("sweep.output")
def run_trials(recipe: Recipe, variants: Variants) -> None:
    """Run the trials that are left, and report on all."""
    sweep = prepare(recipe, variants)
    tracker = make_tracker(sweep)
    with tracker.ended_by_errors():
        start_tracking(sweep, tracker)
        failed = run_left_trials(sweep, tracker)
        write_sweep_report(sweep.folder.url, tracker)
    publish(sweep, tracker, failed)
