"""After a reinforcement learning: curves, page and the finished policy go to MLflow, or why it failed."""

from collections import Counter

from data_pipeline.storage import join
from jobs.pages.plots.learning import learning_png
from jobs.rl.prepare import Learning
from jobs.runtime.terminal import say, table
from jobs.tracking.metric_logger import send_all_waiting
from rm_core.model_folder.folder import lineage_of
from rm_core.model_folder.remote import local_model
from rm_core.rl.consistency import CONSISTENCY_FOLDER, counted

__all__ = ["publish"]

_POINTS = ("rl/reward", "rl/gold", "eval/reward", "eval/gold", "rl/kl", "rl/answer_tokens", "rl/entropy", "rl/cut")


def publish(learning: Learning) -> None:
    """Log the finished policy, and print where it is.

    Raises:
        RunError: MLflow does not answer; the same command tries again.
    """
    recipe, tracker = learning.recipe, learning.tracker
    lineage = lineage_of(learning.export_folder)
    early, step = lineage.get("ended_early", ""), lineage["exported_step"]
    send_all_waiting(tracker.uri, tracker.run_id, learning.config.output, recipe.tracking.patience_s, say)
    learning.record.end(f"finished early: {early}" if early else "finished")
    points = {name: tracker.points(name) for name in _POINTS}
    tracker.log_bytes(learning_png(f"{recipe.name}: policy", points, exported_step=step), "plots/learning.png")
    learning.write_page("finished", early, tracker.metrics(), last_step=lineage["steps"])
    tracker.log_model(local_model(learning.export_folder), name=f"{recipe.name} policy", step=step)
    tracker.finish(reason=f"finished early: {early}" if early else "")
    rows = [("optimiser steps", f"{lineage['steps']} of {learning.num_steps}")]
    rows += [("ended early", early)] if early else []
    if "gold" in lineage:
        rows.append(("gold reward", f"{lineage['gold']:.3f} at step {lineage['gold_step']}, the best"))
    if recipe.rl.reward.consistency.url is not None:
        rows += _consistency_rows(counted(join(learning.config.output, CONSISTENCY_FOLDER)))
    rows += [
        ("weights", f"of step {step}"), ("policy", join(recipe.rl.output, "export")), ("MLflow run", tracker.run_id)
    ]  # fmt: skip
    table(f"Trained the policy of {recipe.name}", rows)


def _consistency_rows(found: Counter[str]) -> list[tuple[str, str]]:
    """What another model said of reasonings, and what it cost."""
    rows = [("texts asked about", f"{found['texts']:,}: {found['yes']:,} consistent, {found['no']:,} not")]
    rows += [
        (f"  {reason}", f"{found[reason]:,}; nothing was learnt from them")
        for reason in ("unread", "refused")
        if found[reason]
    ]
    return [*rows, ("tokens", f"{found['tokens_read']:,} read, {found['tokens_written']:,} written")]
