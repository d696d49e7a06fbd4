"""Rewards of every member for the Comparisons that an ensemble is fitted and judged on, each scored once.

member --scored.parquet that says it is of this model, data and split, else the cluster--> rewards
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from cluster.session import ClusterInfo
from data_pipeline.dataset.layout import kept_manifest_url
from data_pipeline.errors import RunError
from data_pipeline.filtering.groups import content_keys
from data_pipeline.storage import join, parent_of
from jobs.ensemble.members import FoundMember
from jobs.ensemble.parts import Parts
from jobs.evaluate.scoring_actors import ScoringJob, ScoringPool, collect
from jobs.recipe.schema import Recipe
from jobs.registry.registry import ModelRegistry
from jobs.runtime.ray_session import open_cluster
from jobs.runtime.terminal import say
from rm_core.generation.config import CritiquesConfig, VerdictsConfig
from rm_core.model_folder.paradigm import reasons
from rm_core.scoring.scored import ScoredComparison
from rm_core.scoring.scored_file import SCORED_FILE, ScoredOrigin, model_origin, read_origin, read_scored, write_scored
from rm_core.scoring.scorer import scored_item
from rm_core.scoring.written import WrittenRow

__all__ = ["score_members"]

_CHUNK = 64


def score_members(
    recipe: Recipe, members: Sequence[FoundMember], parts: Parts, registry: ModelRegistry
) -> tuple[Parts, dict[str, list[ScoredComparison]]]:
    """Member's name -> its rewards, of the Comparisons that all members have in their data, and which those are.

    One of which a judge that reasons wrote no verdict that can be read is left out: an ensemble gives it no rewards.

    Raises:
        RunError: nothing is left, a reward is not finite, or a scoring process died.
    """
    common = np.ones(len(parts.keys), dtype=np.bool_)
    for member in members:
        common &= _rows_of(member, recipe.ensemble.split, parts) >= 0
    if left_out := int((~common).sum()):
        say(f"{left_out:,} Comparisons are not in the data of every member, and are left out")
    if not common.any():
        raise RunError("no Comparison is in the data of every member: prepare the same records for all of them")
    parts = parts.take(common)
    scored = {member.served.name: _known(recipe, member, parts, registry) for member in members}
    missing = [member for member in members if scored[member.served.name] is None]
    if missing:
        with open_cluster(recipe.cluster) as cluster:
            scored |= {member.served.name: _score(recipe, member, parts, cluster) for member in missing}
    return _with_verdicts(members, parts, {name: found for name, found in scored.items() if found is not None})


def _with_verdicts(
    members: Sequence[FoundMember], parts: Parts, scored: dict[str, list[ScoredComparison]]
) -> tuple[Parts, dict[str, list[ScoredComparison]]]:
    """Without the Comparisons of which a judge that reasons gave no verdict."""
    silent: set[str] = set()
    for member in members:
        if reasons(member.folder):
            name = member.served.name
            own = {one.id for one in scored[name] if any(map(math.isnan, one.rewards))}
            if own:
                say(f"{len(own):,} Comparisons have no verdict of member {name!r} that can be read, and are left out")
            silent |= own
    if not silent:
        return parts, scored
    kept = np.array([key not in silent for key in parts.keys.to_pylist()])
    if not kept.any():
        raise RunError("no Comparison has verdicts of every judge: have them write more texts (verdicts.number)")
    return parts.take(kept), {name: [one for one in own if one.id not in silent] for name, own in scored.items()}


def _rows_of(member: FoundMember, split: str, parts: Parts) -> npt.NDArray[np.int64]:
    """[N] places of the Comparisons in the member's split; -1: not there, N or more: it does not read them."""
    indices = member.data.split_indices(split)
    found = pc.index_in(parts.keys, content_keys(member.data, indices)).fill_null(-1).to_numpy().astype(np.int64)
    unread = parts.has_images & member.served.text_only
    return np.where(unread, len(indices), found)


def _asked(member: FoundMember, parts: Parts) -> Parts:
    return parts.take(~(parts.has_images & member.served.text_only))


def _known(recipe: Recipe, member: FoundMember, parts: Parts, registry: ModelRegistry) -> list[ScoredComparison] | None:
    """The member's rewards, where a file has them."""
    asked = _asked(member, parts)
    own = _own_file(recipe, member)
    if read_origin(own) == _own_origin(recipe, member, asked):
        return _renamed(read_scored(own), asked)
    whole = ScoredOrigin(
        data_fingerprint=member.data.manifest.fingerprint, split=recipe.ensemble.split, model=_model_of(member)
    )
    for url in _other_files(recipe, member, registry):
        if read_origin(url) == whole:
            say(f"member {member.served.name}: rewards of {url}")
            scored = read_scored(url)
            rows = _rows_of(member, recipe.ensemble.split, asked)
            return _renamed([scored[row] for row in rows], asked)
    return None


def _own_file(recipe: Recipe, member: FoundMember) -> str:
    return join(recipe.ensemble.output, "members", f"{member.served.name}.parquet")


def _own_origin(recipe: Recipe, member: FoundMember, asked: Parts) -> ScoredOrigin:
    """That of a file with some Comparisons of the split."""
    which = hashlib.sha256("".join(asked.keys.to_pylist()).encode()).hexdigest()
    return ScoredOrigin(
        data_fingerprint=member.data.manifest.fingerprint,
        split=f"{recipe.ensemble.split}:{which}",
        model=_model_of(member),
    )


def _model_of(member: FoundMember) -> str:
    """Its weights, and how it writes where it does: both decide the rewards."""
    return model_origin(member.served.sha256, member.served.critiques or CritiquesConfig(), member.served.verdicts)


def _other_files(recipe: Recipe, member: FoundMember, registry: ModelRegistry) -> Iterator[str]:
    """Where `basereward evaluate` may have left rewards: beside the training's folder, and in its MLflow run."""
    if not member.served.model.startswith("models:/"):
        yield join(parent_of(parent_of(member.given)), "evaluate", SCORED_FILE)
    run_id = member.served.lineage.get("mlflow_run_id")
    if run_id is not None:
        into = join(recipe.ensemble.output, "copies", f"run-{run_id}")
        found = registry.file_of_run(run_id, f"evaluation/{SCORED_FILE}", into)
        if found is not None:
            yield found


def _score(recipe: Recipe, member: FoundMember, parts: Parts, cluster: ClusterInfo) -> list[ScoredComparison]:
    """Score on the cluster, and keep the rewards for a next time."""
    config, name = recipe.ensemble, member.served.name
    asked = _asked(member, parts)
    rows = member.data.split_indices(config.split)[_rows_of(member, config.split, asked)]
    chunks = [rows[start : start + _CHUNK].tolist() for start in range(0, len(rows), _CHUNK)]
    place = kept_manifest_url(member.data.folder, member.data.manifest.address)
    job = ScoringJob(
        model=member.given,
        token_budget=config.token_budget,
        patch_budget=config.patch_budget,
        attention=config.attention,
        data=place,
        critiques=member.served.critiques or CritiquesConfig(),
        verdicts=member.served.verdicts or VerdictsConfig(),
    )
    with ScoringPool(job, recipe.cluster, cluster) as pool:
        if reasons(member.folder):
            written = pool.written(chunks, blank_images=False) if chunks else ()
            judged = collect(f"write and score by {name}", len(rows), written)
            scored = [_judged(member, row, one) for row, one in zip(rows.tolist(), judged, strict=True)]
        else:
            found = pool.rows(chunks, blank_images=False) if chunks else ()
            scored = collect(f"score by {name}", len(rows), found)
    named = _renamed(scored, asked)
    write_scored(_own_file(recipe, member), named, _own_origin(recipe, member, asked))
    return named


def _judged(member: FoundMember, row: int, written: WrittenRow) -> ScoredComparison:
    """Its rewards; NaN where there are none."""
    item = member.data.encoded(row)
    return scored_item(item, written.made.rewards or (math.nan,) * len(item.response_ids), None)


def _renamed(scored: Sequence[ScoredComparison], parts: Parts) -> list[ScoredComparison]:
    """Each under the hash of its content and in its group, without rewards of blank images."""
    names = zip(parts.keys.to_pylist(), parts.sources, parts.groups, strict=True)
    return [
        replace(one, id=key, source=source, group=group, blank_rewards=None)
        for one, (key, source, group) in zip(scored, names, strict=True)
    ]
