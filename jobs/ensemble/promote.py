"""`basereward promote`: the candidate of `ensemble.register_as` becomes the champion, if the gate lets it.

Both are compared on the Comparisons that the candidate was judged on. The champion's rewards of them come from its own
judgement, or, where it was judged on others, from its members, which are scored again on the recipe's data.
"""

import json
import os
from dataclasses import replace

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.errors import MissingInput, RunError, UserError
from data_pipeline.storage import join
from jobs.ensemble.members import member_of
from jobs.ensemble.parts import Parts, parts_of
from jobs.ensemble.run import JUDGED_FILE
from jobs.ensemble.scores import score_members
from jobs.ensemble.suites import standings
from jobs.preprocess.manifests import manifest_of
from jobs.recipe.schema import Recipe, with_absolute_paths
from jobs.registry.pyfunc_model import read_served
from jobs.registry.registry import CANDIDATE, CHAMPION, PREVIOUS, ModelRegistry, RegisteredVersion
from jobs.runtime.leases import writes
from jobs.runtime.terminal import columns, say
from rm_core.ensembles.config import MemberConfig
from rm_core.ensembles.gate import AgainstMember, Decision, Standing, decide
from rm_core.ensembles.judgement import rewards_of, scored_by
from rm_core.ensembles.table import score_table
from rm_core.generation.config import CritiquesConfig, VerdictsConfig
from rm_core.scoring.scored import ScoredComparison, check_groups
from rm_core.scoring.scored_file import read_scored
from rm_core.serving.served_model import HERE, ServedModel

__all__ = ["run"]


@writes("ensemble.output")
def run(recipe: Recipe) -> None:
    """Ask the gate, write down what it said, and move the aliases where it said yes.

    Raises:
        MissingInput: there is no candidate, or a member of the champion is gone.
        UserError: the candidate is the champion already.
        RunError: the gate refuses; has every rule that failed, with its number.
    """
    recipe = replace(recipe, ensemble=with_absolute_paths(recipe.ensemble, "data", "output"))
    config = recipe.ensemble
    registry = ModelRegistry(recipe.tracking.uri)
    name = config.register_as
    candidate, champion = registry.find(name, CANDIDATE), registry.find(name, CHAMPION)
    if candidate is None:
        raise MissingInput(f"{name!r} has no candidate in {recipe.tracking.uri}: `basereward ensemble` makes one")
    if champion is not None and champion.version == candidate.version:
        raise UserError(f"{candidate.address} is the champion already")
    ours = in_groups(recipe, candidate_standing(candidate, registry, join(config.output, "copies")))
    theirs = None if champion is None else champion_standing(recipe, champion, ours, registry)
    decision = decide(ours, theirs, config.gate, seed=config.seed)
    write_down(decision, candidate, champion, registry)
    show(decision, candidate, champion)
    if not decision.passed:
        raise RunError(f"{candidate.address} stays a candidate: " + "; ".join(decision.refusals))
    if champion is not None:
        registry.set_alias(champion, PREVIOUS)
    registry.set_alias(candidate, CHAMPION)
    registry.remove_alias(candidate, CANDIDATE)
    say(f"{candidate.address} is the champion" + (f"; {champion.address} was it" if champion else ""))


def candidate_standing(candidate: RegisteredVersion, registry: ModelRegistry, copies: str) -> Standing:
    """What the candidate gave the Comparisons that it was judged on."""
    folder = registry.local_folder(candidate, copies)
    served = read_served(folder)
    if served.ensemble is None:
        raise UserError(
            f"{candidate.address} has not been judged: `basereward ensemble` with it as the only member makes a "
            "candidate"
        )
    known = served.fitted.get("against_members")
    if known is None:
        say(f"whether {candidate.address} is better than its members is not known: an earlier version made it")
    return Standing(
        scored=read_scored(join(folder, JUDGED_FILE)),
        temperature=served.ensemble.temperature,
        members={name: AgainstMember(**found) for name, found in (known or {}).items()},
        suites=standings(folder),
    )


def in_groups(recipe: Recipe, standing: Standing) -> Standing:
    """The same, each Comparison with its group; those of a version before groups are found in the recipe's data.

    Raises:
        UserError: the data has some of the Comparisons no more.
    """
    if all(one.group is not None for one in standing.scored):
        return standing
    config = recipe.ensemble
    parts = parts_of(config, PreparedData.open(manifest_of(recipe, config.data)), [one.id for one in standing.scored])
    groups = dict(zip(parts.keys.to_pylist(), parts.groups, strict=True))
    scored = [replace(one, group=groups.get(one.id)) for one in standing.scored]
    check_groups(scored)
    return replace(standing, scored=scored)


def champion_standing(recipe: Recipe, champion: RegisteredVersion, ours: Standing, registry: ModelRegistry) -> Standing:
    """What the champion gives the same Comparisons."""
    copies = join(recipe.ensemble.output, "copies")
    folder = registry.local_folder(champion, copies)
    served = read_served(folder)
    temperature = 1.0 if served.ensemble is None else served.ensemble.temperature
    groups = {one.id: one.group for one in ours.scored}
    path = join(folder, JUDGED_FILE)
    known = [one for one in read_scored(path) if one.id in groups] if os.path.isfile(path) else []
    if len(known) < len(groups):
        say(f"the champion {champion.address} was judged on other Comparisons: its members are scored on these")
        known = scored_again(recipe, served, folder, sorted(groups), registry)
    found = [replace(one, group=groups[one.id]) for one in known]
    # A judge of the champion gave no verdict of the others: equal rewards are wrong of every pair.
    there = {one.id for one in found}
    found += [replace(one, rewards=(0.0,) * len(one.ranks)) for one in ours.scored if one.id not in there]
    return Standing(scored=found, temperature=temperature, suites=standings(folder))


def scored_again(
    recipe: Recipe, served: ServedModel, folder: str, keys: list[str], registry: ModelRegistry
) -> list[ScoredComparison]:
    """Rewards of a registered model for Comparisons of the recipe's data, by the hashes of their content."""
    config = recipe.ensemble
    data = PreparedData.open(manifest_of(recipe, config.data))
    own_data = {member.name: member.data for member in config.members}
    members = [
        member_of(
            MemberConfig(
                name=one.name, model=folder if one.model == HERE else one.model, text_only=one.text_only,
                critiques=one.critiques or CritiquesConfig(), verdicts=one.verdicts or VerdictsConfig(),
            ),
            data if (place := own_data.get(one.name)) is None else PreparedData.open(manifest_of(recipe, place)),
            registry,
            join(config.output, "copies"),
        )
        for one in served.members
    ]  # fmt: skip
    again = replace(recipe, ensemble=replace(config, output=join(config.output, "champion")))
    parts: Parts = parts_of(config, data, keys)
    scored = score_members(again, members, parts, registry)[1]
    found = score_table(scored, {one.name for one in served.members if one.text_only})
    if served.ensemble is None:
        return scored_by(found, found.rewards[0])
    return scored_by(found, served.ensemble.combine(rewards_of(found, served.ensemble)).rewards)


def write_down(
    decision: Decision, candidate: RegisteredVersion, champion: RegisteredVersion | None, registry: ModelRegistry
) -> None:
    """The decision as tags of the version and of its run, and whole as a file of the run."""
    rival = "none" if champion is None else champion.address
    tags = {"gate": "passed" if decision.passed else "refused", "gate.champion": rival}
    tags |= {f"gate.{check.rule}": ("" if check.passed else "refused: ") + check.text for check in decision.checks}
    tags |= {f"gate.{name}": text for name, text in decision.notes.items()}
    registry.set_tags(candidate, tags)
    if candidate.run_id:
        name = f"gate/version-{candidate.version}-against-{'none' if champion is None else champion.version}.json"
        registry.note_on_run(candidate.run_id, tags, name, json.dumps(decision.to_json(), indent=2))


def show(decision: Decision, candidate: RegisteredVersion, champion: RegisteredVersion | None) -> None:
    """Every rule with its number."""
    rival = "no champion yet" if champion is None else champion.address
    rows = [(check.rule, "yes" if check.passed else "NO", check.text) for check in decision.checks]
    rows += [(name, "", text) for name, text in decision.notes.items()]
    columns(f"{candidate.address} against {rival}", ("rule", "passed", ""), rows)
