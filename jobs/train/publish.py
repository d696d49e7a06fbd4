"""After a training: exported model, last points of metrics, curves and page go to MLflow, or why it failed."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

from data_pipeline.storage import join
from jobs.pages.plots.run import CURVES, curves_png
from jobs.runtime.terminal import say, table
from jobs.runtime.termination import uninterrupted
from jobs.tracking.address import UNREACHABLE
from jobs.tracking.metric_logger import send_all_waiting
from jobs.tracking.tracker import Tracker, reason_of, state_of
from jobs.train.prepare import Training
from jobs.train.record import TrainingRecord
from rm_core.model_folder.folder import lineage_of

__all__ = ["publish", "publish_failure"]


def publish(training: Training) -> None:
    """Log the finished training to MLflow, and print where its model is.

    Raises:
        RunError: MLflow does not answer; the same command tries again.
    """
    from jobs.registry.pyfunc_model import log_trained_model  # imports all of mlflow.pyfunc, some seconds

    recipe, tracker = training.recipe, training.tracker
    lineage = lineage_of(training.export_folder)
    early, last_step = lineage.get("ended_early", ""), lineage.get("steps", training.num_steps)
    step = lineage.get("exported_step", last_step)
    send_all_waiting(tracker.uri, tracker.run_id, training.config.output, recipe.tracking.patience_s, say)
    training.record.end(f"finished early: {early}" if early else "finished")
    log_trained_model(
        tracker, training.export_folder, name=recipe.name, step=step, manifest=training.data.manifest,
        critiques=recipe.serve.critiques, verdicts=recipe.serve.verdicts,
    )  # fmt: skip
    tracker.log_bytes(curves_png(recipe.name, {name: tracker.points(name) for name in CURVES}), "plots/training.png")
    training.write_page("finished", early, tracker.metrics(), last_step)
    tracker.finish(reason=f"finished early: {early}" if early else "")
    rows = [("optimiser steps", f"{last_step} of {training.num_steps}" if early else str(last_step))]
    rows += [("ended early", early)] if early else []
    if "best_by" in lineage:
        rows.append(("weights", f"of step {step}, the best by {lineage['best_by']}"))
    rows += [("model", join(recipe.train.output, "export")), ("MLflow run", tracker.run_id)]
    table(f"Trained {recipe.name}", rows)


class Tracked(Protocol):
    """What has attempts, an MLflow run and a page there."""

    @property
    def tracker(self) -> Tracker:
        """Its run."""

    @property
    def record(self) -> TrainingRecord:
        """Its attempts."""

    def write_page(self, state: str, reason: str = "", metrics: Mapping[str, float] | None = None) -> None:
        """Write the run's page."""


def publish_failure(training: Tracked, error: BaseException) -> None:
    """Mark the run as failed or killed; if MLflow doesn't answer, the training's own error is still the one raised."""
    tracker, reason = training.tracker, reason_of(error)
    with uninterrupted():
        training.record.end(reason)
        with suppress(*UNREACHABLE):  # `end_by` says that it doesn't answer
            training.write_page(state_of(error), reason, tracker.metrics())
        tracker.end_by(error)
