"""After a reinforcement learning: curves, page and the finished policy go to MLflow, or why it failed."""

from collections.abc import Mapping
from contextlib import suppress

from data_pipeline.shown import markdown, unwrapped
from data_pipeline.storage import join
from jobs.pages.plots.learning import learning_png
from jobs.rl.prepare import Learning
from jobs.runtime.terminal import duration, say, table
from jobs.runtime.termination import uninterrupted
from jobs.tracking.address import UNREACHABLE
from jobs.tracking.metric_logger import send_all_waiting
from jobs.tracking.run_writer import GOING_ON, SECONDS_TAG
from jobs.tracking.tracker import reason_of, state_of
from rm_core.model_folder.folder import lineage_of
from rm_core.model_folder.remote import local_model
from rm_core.rl.config import UNSCORED

__all__ = ["publish", "publish_failure"]

_MAX_REASON_CHARS = 1000
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
    write_page(learning, "finished", early, tracker.metrics(), lineage)
    tracker.log_model(local_model(learning.export_folder), name=f"{recipe.name} policy", step=step)
    tracker.finish(reason=f"finished early: {early}" if early else "")
    rows = [("optimiser steps", f"{lineage['steps']} of {learning.num_steps}")]
    rows += [("ended early", early)] if early else []
    if "gold" in lineage:
        rows.append(("gold reward", f"{lineage['gold']:.3f} at step {lineage['gold_step']}, the best"))
    rows += [
        ("weights", f"of step {step}"), ("policy", join(recipe.rl.output, "export")), ("MLflow run", tracker.run_id)
    ]  # fmt: skip
    table(f"Trained the policy of {recipe.name}", rows)


def publish_failure(learning: Learning, error: BaseException) -> None:
    """Mark the run as failed or killed; if MLflow doesn't answer, the error itself is still the one raised."""
    tracker, reason = learning.tracker, reason_of(error)
    with uninterrupted():
        learning.record.end(reason)
        with suppress(*UNREACHABLE):  # `end_by` says that it doesn't answer
            write_page(learning, state_of(error), reason, tracker.metrics(), {})
        tracker.end_by(error)


def write_page(
    learning: Learning, state: str, reason: str, metrics: Mapping[str, float], lineage: Mapping[str, object]
) -> None:
    """What the run's page says to a person."""
    config, reward = learning.config, learning.config.reward
    took_s = sum(one.seconds for one in learning.record.attempts)
    steps = lineage.get("steps", max((one.last_step for one in learning.record.attempts), default=0))
    standing = f"**{state.capitalize()}** · step {steps} of {learning.num_steps} · {duration(took_s)}"
    if reason:
        standing += f"\n\n**Why it ended:** {markdown(unwrapped(reason), _MAX_REASON_CHARS)}"
    asked = "" if reward.kind in UNSCORED else f", reward model `{reward.url or reward.model}`"
    spread = f", less {reward.pessimism:g} standard deviations" if reward.pessimism else ""
    what = (
        f"Policy of recipe `{learning.recipe.name}` from `{config.policy}` by GRPO: reward {reward.kind}{asked}"
        f"{spread}, gold {config.watch.gold}; {config.batch} answers a step, {config.num_generations} to each prompt."
        "\n\n"
        f"Prompts: {learning.num_prompts:,} to learn from, {learning.num_heldout:,} held out.\n\n"
        f"Files: `{config.output}`"
    )
    shown = {
        "eval/gold": "gold reward, held out", "eval/reward": "reward, held out", "rl/kl": "nats a token from the start",
        "rl/answer_tokens": "tokens an answer",
    }  # fmt: skip
    rows = [f"| {words} | {metrics[name]:.4f} |" for name, words in shown.items() if name in metrics]
    results = "\n".join(["| at the last point | |", "| --- | ---: |", *rows]) if rows else ""
    going_on = (
        f"`basereward rl RECIPE --sample rl.sample.policy={join(config.output, 'export')}` writes its answers with "
        "their rewards."
        if state == "finished"
        else "The same command goes on from the newest checkpoint, in this run."
    )
    tags = {"steps": f"{steps} of {learning.num_steps}", SECONDS_TAG: f"{took_s:.0f}"}
    learning.tracker.write_page({"": f"{standing}\n\n{what}\n\n{results}".strip(), GOING_ON: going_on}, tags)
