"""Publish an ensemble: a report in its folder, a run and a version with lineage in MLflow, headlines."""

import json
from collections.abc import Sequence
from typing import Any

from data_pipeline.shown import markdown
from data_pipeline.storage import join, write_atomic
from jobs.ensemble.members import FoundMember
from jobs.ensemble.parts import Parts
from jobs.ensemble.prepare import STATE_FILE, EnsembleTask
from jobs.ensemble.run import Fitted
from jobs.ensemble.suites import write_suites
from jobs.evaluate.publish_suites import SUITES_FILE, in_a_line, short_table, show_suites
from jobs.pages.ensemble_report import PAGE, PICTURE, write_ensemble_report
from jobs.pages.formats import ends, signed, signed_ends
from jobs.recipe.schema import Recipe
from jobs.registry.registry import CANDIDATE, RegisteredVersion
from jobs.runtime.terminal import say, table
from jobs.tracking.run_writer import SUITE_TAG
from jobs.tracking.tracker import Tracker
from rm_core.ensembles.judgement import Judgement

__all__ = ["publish", "remember", "show"]

REPORT = "ensemble_report.json"


def publish(task: EnsembleTask, fitted: Fitted, folder: str) -> RegisteredVersion:
    """Write the report, log a run, and register the model as the candidate.

    Args:
        folder: the model, a local one.
    """
    output = task.recipe.ensemble.output
    facts, title = facts_of(task, fitted.parts), f"Ensemble {task.recipe.ensemble.register_as}"
    write_ensemble_report(output, fitted.ensemble, fitted.judgement, title=title, facts=facts)
    text = json.dumps({"title": title, "facts": facts} | fitted.judgement.to_json(), indent=2, ensure_ascii=False)
    write_atomic(join(output, REPORT), f"{text}\n".encode())
    write_suites(output, fitted.suites)
    return track(task, fitted, folder)


def remember(task: EnsembleTask, version: RegisteredVersion) -> None:
    """Write down what the output folder has become: the same command then does nothing."""
    state = {"identity": task.identity, "address": version.address}
    write_atomic(join(task.recipe.ensemble.output, STATE_FILE), json.dumps(state).encode())


def facts_of(task: EnsembleTask, parts: Parts) -> dict[str, str]:
    """What the report says was put together."""
    config = task.recipe.ensemble
    facts = {
        "rule": config.rule + (f", penalty {config.penalty:g}" if config.rule == "cautious" else ""),
        "data": f"{config.data}, split {config.split}",
        "data fingerprint": task.data.manifest.fingerprint,
        "fitted on": f"{int((~parts.judged).sum()):,} Comparisons",
        "judged on": f"{int(parts.judged.sum()):,} others, a share of {config.judge_share:g} of the groups, "
        f"seed {config.seed}",
    }
    for member in task.members:
        said = [member.served.model, *(f"{key} {value}" for key, value in member.served.lineage.items())]
        facts[f"member {member.served.name}"] = ", ".join(said)
    return facts


def track(task: EnsembleTask, fitted: Fitted, folder: str) -> RegisteredVersion:
    """Log a run, and register its model as the candidate.

    Another ensemble in the same output folder has another identity, and another run.
    """
    config, registry = task.recipe.ensemble, task.registry
    run_dir = join(config.output, "runs", task.identity[:12])
    name, patience_s = f"ensemble {config.register_as}", task.recipe.tracking.patience_s
    tracker = Tracker(task.recipe.tracking, run_dir=run_dir, run_name=name, patience_s=patience_s)
    with tracker.ended_by_errors():
        _log_run(task, fitted, tracker)
        model_id = tracker.log_model(folder, name=config.register_as, step=0)
        logged = registry.resolve(f"models:/{model_id}")
        version = registry.version_of(config.register_as, logged) or registry.register(
            config.register_as, logged, tags=_version_tags(task, fitted),
            description=description(task.recipe, fitted),
        )  # fmt: skip
        registry.set_alias(version, CANDIDATE)
    tracker.finish()
    return version


def _log_run(task: EnsembleTask, fitted: Fitted, tracker: Tracker) -> None:
    """Settings, lineage, numbers and report."""
    recipe, fingerprint = task.recipe, task.data.manifest.fingerprint
    tags = {"data_fingerprint": fingerprint} | _lineage_tags(task.members)
    tracker.log_recipe(recipe, "ensemble", tags, ["ensemble"])
    counts = {"fitted": len(fitted.fitted_on.labels), "judged": len(fitted.judged_on.labels)}
    tracker.log_dataset(
        name=recipe.name, fingerprint=fingerprint, source=recipe.ensemble.data, profile=counts, context="evaluation"
    )
    tracker.log_evaluation(fitted.judgement.numbers())
    for one in fitted.suites:
        numbers = {name: number.value for name, number in one.report.numbers.items()}
        tracker.log_suite(one.report.suite, numbers)
    for name in (PAGE, PICTURE, REPORT, *([SUITES_FILE] if fitted.suites else [])):
        tracker.log_file(join(recipe.ensemble.output, name), "ensemble")
    tracker.describe(description(recipe, fitted))


def _version_tags(task: EnsembleTask, fitted: Fitted) -> dict[str, str]:
    """What the version's page shows beside its members."""
    return (
        {
            "kind": "ensemble",
            "rule": task.recipe.ensemble.rule,
            "data_fingerprint": task.data.manifest.fingerprint,
            "judged": str(len(fitted.judged_on.labels)),
            "accuracy": f"{fitted.judgement.ensemble.report.overall.accuracy.value:.4f}",
        }
        | {f"{SUITE_TAG}{one.report.suite}": in_a_line(one.report) for one in fitted.suites}
        | _lineage_tags(task.members)
    )


def _lineage_tags(members: Sequence[FoundMember]) -> dict[str, str]:
    return {f"member.{one.served.name}": json.dumps(lineage_of(one)) for one in members}


def lineage_of(member: FoundMember) -> dict[str, Any]:
    """Where a member comes from, for tags."""
    return {"model": member.served.model, "sha256": member.served.sha256} | member.served.lineage


def description(recipe: Recipe, fitted: Fitted) -> str:
    """What the pages of the run and of the version say at their heads, in Markdown."""
    judgement = fitted.judgement
    ours = judgement.ensemble
    summary = (
        f"Ensemble of {len(judgement.members)} by rule `{recipe.ensemble.rule}`, fitted on "
        f"{fitted.ensemble.num_comparisons:,} Comparisons of `{recipe.ensemble.data}`, judged on "
        f"{ours.report.num_comparisons:,} others in {ours.report.num_groups:,} groups. Calibration "
        f"error {ours.after.error:.3f}."
    )
    lines = [f"{summary} {words}" if (words := behind_words(judgement)) else summary, ""]
    head = ["", "pair accuracy", "interval", "over the longer answer", "interval", "ensemble less it", "interval"]
    lines += [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    for name, one in {"ensemble": ours, **judgement.members}.items():
        accuracy, over = one.report.overall.accuracy, one.report.overall.over_length
        cells = [markdown(name), f"{accuracy.value:.3f}", ends(accuracy.interval)]
        cells += [signed(over.value), signed_ends(over.interval)]
        found = judgement.against.get(name)
        cells += ["", ""] if found is None else [signed(found.difference), signed_ends(found.interval)]
        lines.append(f"| {' | '.join(cells)} |")
    if fitted.suites:
        lines += ["", short_table([one.report for one in fitted.suites])]
    return "\n".join(lines)


def behind_words(judgement: Judgement) -> str:
    """Which member is better than the ensemble, and by how much; empty where none is."""
    name, found = min(judgement.against.items(), key=lambda item: item[1].difference)
    if found.difference >= 0:
        return ""
    return (
        f"The ensemble is worse than its member {name}: {signed(found.difference)} ({signed_ends(found.interval)}) on "
        f"{found.num_comparisons:,} Comparisons in {found.num_groups:,} groups."
    )


def show(recipe: Recipe, fitted: Fitted, version: RegisteredVersion) -> None:
    """The headline numbers for the terminal."""
    judgement = fitted.judgement
    rows = []
    for name, one in {"ensemble": judgement.ensemble, **judgement.members}.items():
        accuracy = one.report.overall.accuracy
        rows.append(
            (
                f"accuracy, {name}",
                f"{accuracy.value:.3f}  ({ends(accuracy.interval)})",
            )
        )
    over = judgement.ensemble.report.overall.over_length
    rows.append(("ensemble over the longer answer", f"{signed(over.value)}  ({signed_ends(over.interval)})"))
    for name, found in judgement.against.items():
        rows.append((f"ensemble less {name}", f"{signed(found.difference)}  ({signed_ends(found.interval)})"))
    before, after = judgement.ensemble.before, judgement.ensemble.after
    rows.append(
        ("calibration error", f"{before.error:.3f} -> {after.error:.3f} at temperature {after.temperature:.3g}")
    )
    rows.append(("report", join(recipe.ensemble.output, PAGE)))
    rows.append(("registered", f"{version.address}, alias {CANDIDATE}"))
    judged = judgement.ensemble.report
    on = f"{judged.num_comparisons:,} Comparisons in {judged.num_groups:,} groups"
    table(f"Ensemble {recipe.ensemble.register_as}, judged on {on}", rows)
    if words := behind_words(judgement):
        say(words)
    if fitted.suites:
        show_suites([one.report for one in fitted.suites])
