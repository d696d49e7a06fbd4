"""What MLflow and the user are told of an ensemble: a run with report and numbers, a version with its lineage."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data_pipeline.dataset import PreparedData
from data_pipeline.storage import join
from jobs.config import Recipe, to_flat_params, to_yaml
from jobs.ensemble_members import FoundMember
from jobs.ensemble_parts import Parts
from jobs.model_registry import CANDIDATE, ModelRegistry, RegisteredVersion
from jobs.source_version import source_tags
from jobs.terminal import table
from jobs.tracking import Tracker
from rm_core.ensembles.ensemble import Ensemble
from rm_core.ensembles.judgement import Judgement
from rm_core.ensembles.report import PAGE, PICTURE
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
    """Log a run, and register its model as the candidate."""
    config = recipe.ensemble
    state = join(config.output, "runs", identity[:12])  # another ensemble in this folder is another run
    tracker = Tracker(recipe.tracking, run_dir=state, run_name=config.register_as)
    tracker.log_params(to_flat_params(recipe, ["ensemble"]))
    tracker.log_text(to_yaml(recipe), "config/recipe.yaml")
    lineage = {f"member.{one.served.name}": json.dumps(lineage_of(one)) for one in members}
    fingerprint = data.manifest.fingerprint
    tracker.set_tags(
        {"recipe": recipe.name, "data_fingerprint": fingerprint}
        | lineage
        | source_tags(f"basereward ensemble {recipe.name}")
    )
    judged = len(fitted.judged_on.labels)
    tracker.log_dataset(
        name=recipe.name, fingerprint=fingerprint, source=config.data,
        profile={"fitted": len(fitted.fitted_on.labels), "judged": judged}, context="evaluation",
    )  # fmt: skip
    numbers = fitted.judgement.numbers()
    tracker.log_metrics({f"eval/{_grouped(name)}": value for name, value in numbers.items()})
    for name in (PAGE, PICTURE, REPORT):
        tracker.log_file(join(config.output, name), "ensemble")
    tracker.describe(description(recipe, fitted))
    model_id = tracker.log_model(folder, name=config.register_as, step=0)
    tags = {"kind": "ensemble", "rule": config.rule, "data_fingerprint": fingerprint, "judged": str(judged)} | lineage
    tags |= {"accuracy": f"{numbers['accuracy']:.4f}"}
    logged = registry.resolve(f"models:/{model_id}")
    version = registry.version_of(config.register_as, logged) or registry.register(
        config.register_as, logged, tags=tags, description=description(recipe, fitted)
    )
    registry.set_alias(version, CANDIDATE)
    tracker.finish()
    return version


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
    lines = [
        told,
        "",
        "| | pair accuracy | interval |",
        "| --- | ---: | ---: |",
    ]
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
