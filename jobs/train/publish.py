"""After a training: exported model, last points of metrics, curves and page go to MLflow, or why it failed."""

from data_pipeline.storage import join
from jobs.pages.plots.run import CURVES, curves_png
from jobs.runtime.terminal import say, table
from jobs.runtime.termination import SIGTERM_REASON, Terminated, was_terminated
from jobs.tracking.address import UNREACHABLE
from jobs.tracking.metric_logger import send_all_waiting
from jobs.tracking.tracker import Tracker
from jobs.train.prepare import Training

__all__ = ["end_run", "publish", "publish_failure"]


def publish(training: Training) -> None:
    """Log the finished training to MLflow, and print where its model is.

    Raises:
        RunError: MLflow does not answer; the same command tries again.
    """
    from jobs.registry.pyfunc_model import log_trained_model  # imports all of mlflow.pyfunc, some seconds

    recipe, tracker, num_steps = training.recipe, training.tracker, training.num_steps
    send_all_waiting(tracker.uri, tracker.run_id, training.config.output, recipe.tracking.patience_s, say)
    training.record.end("finished")
    manifest = training.data.manifest
    log_trained_model(tracker, training.export_folder, name=recipe.name, step=num_steps, manifest=manifest)
    tracker.log_bytes(curves_png(recipe.name, {name: tracker.points(name) for name in CURVES}), "plots/training.png")
    training.write_page("finished", metrics=tracker.metrics())
    tracker.finish()
    rows = [("optimiser steps", str(num_steps)), ("model", join(recipe.train.output, "export"))]
    table(f"Trained {recipe.name}", [*rows, ("MLflow run", tracker.run_id)])


def publish_failure(training: Training, error: BaseException) -> None:
    """Mark the run as failed or killed; if MLflow doesn't answer, the training's own error is still the one raised."""
    tracker, state, reason = training.tracker, state_of(error), reason_of(error)
    training.record.end(reason)
    try:
        training.write_page(state, reason, tracker.metrics())
        tracker.finish(state.upper(), reason)
    except UNREACHABLE as unreachable:
        _say_unreachable(tracker, state, unreachable)


def _say_unreachable(tracker: Tracker, state: str, unreachable: Exception) -> None:
    said = str(unreachable).splitlines()[0]
    say(f"MLflow at {tracker.uri} could not be told that the run is {state}: {said}")


def end_run(tracker: Tracker, error: BaseException) -> None:
    """End a run that is no training's, such as a sweep's, with the state and reason of the `error` that ended it."""
    state = state_of(error)
    try:
        tracker.finish(state.upper(), reason_of(error))
    except UNREACHABLE as unreachable:
        _say_unreachable(tracker, state, unreachable)


def state_of(error: BaseException) -> str:
    """The state of a run that `error` ended: killed or failed."""
    return "killed" if was_terminated() or not isinstance(error, Exception) else "failed"


def reason_of(error: BaseException) -> str:
    """Why a training ended, for its tag in MLflow."""
    if isinstance(error, Terminated) and str(error):
        return str(error)
    if was_terminated():
        return SIGTERM_REASON
    return "Ctrl-C" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"
