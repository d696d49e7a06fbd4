"""What MLflow and the user are told of an ensemble: a run with report and numbers, a version with its lineage."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.storage import join
from jobs.ensemble.members import FoundMember
from jobs.ensemble.parts import Parts
from jobs.pages.ensemble_report import PAGE, PICTURE
from jobs.recipe.schema import Recipe, to_flat_params, to_yaml
from jobs.registry.registry import CANDIDATE, ModelRegistry, RegisteredVersion
from jobs.runtime.source_version import source_tags
from jobs.runtime.terminal import table
from jobs.tracking.tracker import Tracker
from rm_core.ensembles.ensemble import Ensemble
from rm_core.ensembles.judgement import Judgement
from rm_core.ensembles.table import ScoreTable

__all__ = ["REPORT", "Fitted", "facts_of", "show", "track"]

REPORT = "ensemble_report.json"


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What came of the members' rewards."""

    ensemble: Ensemble
    fitted_on: ScoreTable
    judged_on: ScoreTable
    judgement: Judgement


def facts_of(recipe: Recipe, data: PreparedData, members: Sequence[FoundMember], parts: Parts) -> dict[str, str]:
    """What the report says was put together."""
    config = recipe.ensemble
    facts = {
        "rule": config.rule + (f", penalty {config.penalty:g}" if config.rule == "cautious" else ""),
        "data": f"{config.data}, split {config.split}",
        "data fingerprint": data.manifest.fingerprint,
        "fitted on": f"{int((~parts.judged).sum()):,} Comparisons",
        "judged on": f"{int(parts.judged.sum()):,} others, a share of {config.judge_share:g} of the groups, "
        f"seed {config.seed}",
    }
    for member in members:
        said = [member.served.model, *(f"{key} {value}" for key, value in member.served.lineage.items())]
        facts[f"member {member.served.name}"] = ", ".join(said)
    return facts


def track(
    recipe: Recipe, data: PreparedData, members: Sequence[FoundMember], fitted: Fitted, folder: str, identity: str,
    registry: ModelRegistry,
) -> RegisteredVersion:  # fmt: skip
    """Log a run, and register its model as the candidate.

    Args:
        folder: the model.
        identity: another ensemble in the same output folder has another one, and another run.
    """
    config = recipe.ensemble
    run_dir = join(config.output, "runs", identity[:12])
    tracker = Tracker(recipe.tracking, run_dir=run_dir, run_name=f"ensemble {config.register_as}")
    try:
        _log_run(recipe, data, members, fitted, tracker)
        model_id = tracker.log_model(folder, name=config.register_as, step=0)
        logged = registry.resolve(f"models:/{model_id}")
        version = registry.version_of(config.register_as, logged) or registry.register(
            config.register_as, logged, tags=_version_tags(recipe, data, members, fitted),
            description=description(recipe, fitted),
        )  # fmt: skip
        registry.set_alias(version, CANDIDATE)
    except BaseException as error:
        tracker.finish("FAILED", f"{type(error).__name__}: {error}")
        raise
    tracker.finish()
    return version


def _log_run(
    recipe: Recipe, data: PreparedData, members: Sequence[FoundMember], fitted: Fitted, tracker: Tracker
) -> None:
    """Settings, lineage, numbers and report."""
    tracker.log_params(to_flat_params(recipe, ["ensemble"]))
    tracker.log_text(to_yaml(recipe), "config/recipe.yaml")
    fingerprint = data.manifest.fingerprint
    tags = {"recipe": recipe.name, "data_fingerprint": fingerprint} | _lineage_tags(members)
    tracker.set_tags(tags | source_tags(f"basereward ensemble {recipe.name}"))
    counts = {"fitted": len(fitted.fitted_on.labels), "judged": len(fitted.judged_on.labels)}
    tracker.log_dataset(
        name=recipe.name, fingerprint=fingerprint, source=recipe.ensemble.data, profile=counts, context="evaluation"
    )
    numbers = fitted.judgement.numbers()
    tracker.log_metrics({f"eval/{_grouped(name)}": value for name, value in numbers.items()})
    for name in (PAGE, PICTURE, REPORT):
        tracker.log_file(join(recipe.ensemble.output, name), "ensemble")
    tracker.describe(description(recipe, fitted))


def _version_tags(recipe: Recipe, data: PreparedData, members: Sequence[FoundMember], fitted: Fitted) -> dict[str, str]:
    """What the version's page shows beside its members."""
    return {
        "kind": "ensemble",
        "rule": recipe.ensemble.rule,
        "data_fingerprint": data.manifest.fingerprint,
        "judged": str(len(fitted.judged_on.labels)),
        "accuracy": f"{fitted.judgement.ensemble.report.overall.accuracy.value:.4f}",
    } | _lineage_tags(members)


def _lineage_tags(members: Sequence[FoundMember]) -> dict[str, str]:
    return {f"member.{one.served.name}": json.dumps(lineage_of(one)) for one in members}


def _grouped(name: str) -> str:
    """A number's name in MLflow, whose pages make a section of each group: sources belong into one, members too.

    >>> _grouped("source/captions/accuracy"), _grouped("member/large/accuracy"), _grouped("accuracy")
    ('by_source/captions', 'by_member/large', 'accuracy')
    """
    kind, _, rest = name.partition("/")
    return f"by_{kind}/{rest.removesuffix('/accuracy')}" if rest else name


def lineage_of(member: FoundMember) -> dict[str, Any]:
    """Where a member comes from, for tags."""
    return {"model": member.served.model, "sha256": member.served.sha256} | member.served.lineage


def description(recipe: Recipe, fitted: Fitted) -> str:
    """What the pages of the run and of the version say at their heads, in Markdown."""
    judgement = fitted.judgement
    ours = judgement.ensemble
    told = (
        f"Ensemble of {len(judgement.members)} by rule `{recipe.ensemble.rule}`, fitted on "
        f"{fitted.ensemble.num_comparisons:,} Comparisons of `{recipe.ensemble.data}`, judged on "
        f"{ours.report.num_comparisons:,} others. Calibration error {ours.after.error:.3f}."
    )
    lines = [told, "", "| | pair accuracy | interval |", "| --- | ---: | ---: |"]
    for name, one in {"ensemble": ours, **judgement.members}.items():
        accuracy = one.report.overall.accuracy
        lines.append(f"| {name} | {accuracy.value:.3f} | {accuracy.interval.low:.3f} to {accuracy.interval.high:.3f} |")
    return "\n".join(lines)


def show(recipe: Recipe, fitted: Fitted, version: RegisteredVersion) -> None:
    """The headline numbers for the terminal."""
    judgement = fitted.judgement
    rows = []
    for name, one in {"ensemble": judgement.ensemble, **judgement.members}.items():
        accuracy = one.report.overall.accuracy
        rows.append(
            (
                f"accuracy, {name}",
                f"{accuracy.value:.3f}  ({accuracy.interval.low:.3f} to {accuracy.interval.high:.3f})",
            )
        )
    before, after = judgement.ensemble.before, judgement.ensemble.after
    rows.append(
        ("calibration error", f"{before.error:.3f} -> {after.error:.3f} at temperature {after.temperature:.3g}")
    )
    rows.append(("report", join(recipe.ensemble.output, PAGE)))
    rows.append(("registered", f"{version.address}, alias {CANDIDATE}"))
    judged = judgement.ensemble.report.num_comparisons
    table(f"Ensemble {recipe.ensemble.register_as}, judged on {judged:,} Comparisons", rows)
