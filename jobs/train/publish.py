"""After a training: the exported model, the last points of metrics, curves and page go to MLflow; or why it ended."""

from tempfile import TemporaryDirectory

from data_pipeline.storage import join
from jobs.pages.run_plots import CURVES, curves_png
from jobs.runtime.terminal import say, table
from jobs.runtime.termination import SIGTERM_REASON, Terminated, was_terminated
from jobs.tracking.metric_logger import send_all_waiting
from jobs.tracking.tracker import UNREACHABLE, Tracker
from jobs.train.prepare import Training
from rm_core.model_folder.remote import local_model
from rm_core.serving.served_model import Reading

__all__ = ["end_run", "publish", "publish_failure"]


def publish(training: Training) -> None:
    """Hand the finished training to MLflow, and say where it is.

    Raises:
        RunError: MLflow does not answer; the same command tries again.
    """
    recipe, tracker = training.recipe, training.tracker
    send_all_waiting(tracker.uri, tracker.run_id, training.config.output, recipe.tracking.patience_s, say)
    training.record.end("finished")
    log_model(training)
    tracker.log_bytes(curves_png(recipe.name, {name: tracker.points(name) for name in CURVES}), "plots/training.png")
    training.write_page("finished", metrics=tracker.metrics())
    tracker.finish()
    rows = [("optimiser steps", str(training.num_steps)), ("model", join(recipe.train.output, "export"))]
    table(f"Trained {recipe.name}", [*rows, ("MLflow run", tracker.run_id)])


def publish_failure(training: Training, error: BaseException) -> None:
    """Mark the run as failed or killed; where MLflow doesn't answer, the training's own error is what counts."""
    tracker, state, reason = training.tracker, state_of(error), reason_of(error)
    training.record.end(reason)
    try:
        training.write_page(state, reason, tracker.metrics())
        tracker.finish(state.upper(), reason)
    except UNREACHABLE as unreachable:
        said = str(unreachable).splitlines()[0]
        say(f"MLflow at {tracker.uri} could not be told that the run is {state}: {said}")


def log_model(training: Training) -> None:
    """Log the exported model with what `mlflow.pyfunc` needs to load it."""
    from jobs.registry.pyfunc_model import add_served_files, one_model  # imports all of mlflow.pyfunc, some seconds

    name = training.recipe.name
    folder = local_model(training.export_folder)
    served = one_model(name, folder, Reading.of_manifest(training.data.manifest.config))
    with TemporaryDirectory() as beside:
        add_served_files(beside, served)
        training.tracker.log_model(folder, name=name, step=training.num_steps, beside=beside)


def end_run(tracker: Tracker, error: BaseException) -> None:
    """Say in MLflow that `error` ended a run that is no training's."""
    tracker.finish(state_of(error).upper(), reason_of(error))


def state_of(error: BaseException) -> str:
    """How MLflow calls a run that `error` ended: killed or failed."""
    return "killed" if was_terminated() or not isinstance(error, Exception) else "failed"


def reason_of(error: BaseException) -> str:
    """Why a training ended, for its tag in MLflow."""
    if isinstance(error, Terminated) and str(error):
        return str(error)
    if was_terminated():
        return SIGTERM_REASON
    return "Ctrl-C" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"
