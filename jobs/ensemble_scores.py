"""Rewards of every member for the Comparisons that an ensemble is fitted and judged on, each scored once.

    split of the data --by hash of groups--> judged | the rest --by hash--> fitted on
    member --scored.parquet that says it is of this model, data and split, else the cluster--> rewards

Comparisons are known by the hash of their content here: ids need not be unique, and a member with another tokenizer has
prepared data of its own.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cluster.session import ClusterInfo
from data_pipeline.dataset import PreparedData
from data_pipeline.errors import RunError
from data_pipeline.marks.columns import shares
from data_pipeline.second_split import content_keys, split_again
from data_pipeline.storage import join, parent_of
from jobs.config import Recipe
from jobs.ensemble_members import FoundMember
from jobs.model_registry import ModelRegistry
from jobs.ray_job import open_cluster
from jobs.scoring_actors import ScoringJob, scored_rows
from jobs.terminal import progress, say
from rm_core.ensembles.config import EnsembleConfig
from rm_core.evaluation.scored import ScoredComparison
from rm_core.evaluation.scored_file import SCORED_FILE, ScoredOrigin, read_origin, read_scored, write_scored

__all__ = ["Parts", "divide", "parts_of", "score_members"]

_CHUNK = 64
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Comparisons of a split, and what each is for; N of them, in the order of the data.

    Attributes:
        keys: [N] hashes of content.
        sources: [N] names.
        has_images: bool [N].
        judged: bool [N]; the others are fitted on.
    """

    keys: pa.StringArray
    sources: list[str]
    has_images: Bools
    judged: Bools

    def take(self, where: Bools) -> "Parts":
        """Those where `where` [N] is set."""
        places = np.flatnonzero(where)
        return Parts(
            keys=self.keys.take(pa.array(places)),
            sources=[self.sources[place] for place in places],
            has_images=self.has_images[where],
            judged=self.judged[where],
        )

    def split(
        self, scored: dict[str, list[ScoredComparison]]
    ) -> tuple[dict[str, list[ScoredComparison]], dict[str, list[ScoredComparison]]]:
        """(fitted on, judged) of what each member scored."""
        judged = set(self.keys.filter(pa.array(self.judged)).to_pylist())
        parts: tuple[dict[str, list[ScoredComparison]], dict[str, list[ScoredComparison]]] = ({}, {})
        for name, given in scored.items():
            for place, part in enumerate(parts):
                part[name] = [one for one in given if (one.id in judged) == bool(place)]
        return parts


def divide(config: EnsembleConfig, data: PreparedData) -> Parts:
    """Which Comparisons to fit and to judge on: a pure function of their content, the shares and the seed.

    Raises:
        RunError: one of the two parts is empty.
    """
    indices = data.split_indices(config.split)
    keys = content_keys(data, indices)
    judged = split_again(data, indices, share=config.judge_share, seed=config.seed)
    order = shares(config.seed, "ensemble", keys.to_pylist())
    order[judged] = np.inf
    fitted = ~judged
    if config.sample is not None and fitted.sum() > config.sample:
        fitted = order <= np.partition(order, config.sample - 1)[config.sample - 1]
    if not judged.any() or not fitted.any():
        raise RunError(
            f"split {config.split!r} of {data.folder} gives {int(fitted.sum())} Comparisons to fit on and "
            f"{int(judged.sum())} to judge on: change ensemble.judge_share, or hold out more"
        )
    return _parts(data, indices, judged).take(judged | fitted)


def parts_of(config: EnsembleConfig, data: PreparedData, keys: Sequence[str]) -> Parts:
    """The Comparisons of the split with these hashes of content, all of them judged.

    Raises:
        RunError: the split has none of them.
    """
    indices = data.split_indices(config.split)
    wanted = pc.is_in(content_keys(data, indices), pa.array(keys)).to_numpy(zero_copy_only=False)
    if not wanted.any():
        raise RunError(
            f"split {config.split!r} of {data.folder} has none of the {len(keys):,} Comparisons that the candidate was "
            "judged on: name the data it was made with as ensemble.data"
        )
    return _parts(data, indices[wanted], np.ones(int(wanted.sum()), dtype=np.bool_))


def _parts(data: PreparedData, indices: npt.NDArray[np.int64], judged: Bools) -> Parts:
    rows = data.all_rows.take(pa.array(data.places(indices)))
    return Parts(
        keys=content_keys(data, indices),
        sources=rows["source"].to_pylist(),
        has_images=pc.list_value_length(rows["image_patches"]).to_numpy() > 0,
        judged=judged,
    )


def score_members(
    recipe: Recipe, members: Sequence[FoundMember], parts: Parts, registry: ModelRegistry
) -> tuple[Parts, dict[str, list[ScoredComparison]]]:
    """Member's name -> its rewards, of the Comparisons that all members have in their data, and which those are.

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
    return parts, {name: found for name, found in scored.items() if found is not None}


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
        return read_scored(own)
    whole = ScoredOrigin(
        data_fingerprint=member.data.manifest.fingerprint, split=recipe.ensemble.split, model=member.served.sha256
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
        model=member.served.sha256,
    )


def _other_files(recipe: Recipe, member: FoundMember, registry: ModelRegistry) -> Iterator[str]:
    """Where `basereward evaluate` may have left rewards: beside the training's folder, and in its MLflow run."""
    if not member.served.model.startswith("models:/"):
        yield join(parent_of(parent_of(member.given)), "evaluate", SCORED_FILE)
    run_id = member.served.lineage.get("mlflow_run_id")
    if run_id is not None:
        into = os.path.join(recipe.ensemble.output, "copies", f"run-{run_id}")
        found = registry.file_of_run(run_id, f"evaluation/{SCORED_FILE}", into)
        if found is not None:
            yield found


def _score(recipe: Recipe, member: FoundMember, parts: Parts, cluster: ClusterInfo) -> list[ScoredComparison]:
    """Score on the cluster, and keep the rewards for a next time."""
    config, name = recipe.ensemble, member.served.name
    asked = _asked(member, parts)
    rows = member.data.split_indices(config.split)[_rows_of(member, config.split, asked)]
    chunks = [rows[start : start + _CHUNK].tolist() for start in range(0, len(rows), _CHUNK)]
    place = join(member.data.folder, "manifests", f"{member.data.manifest.address}.json")
    job = ScoringJob(model=member.given, token_budget=config.token_budget, patch_budget=config.patch_budget, data=place)
    scored: list[ScoredComparison] = []
    with progress(f"score by {name}", len(rows)) as advance:
        for chunk in scored_rows(job, cluster, chunks, blank_images=False) if chunks else ():
            scored += chunk
            advance(len(scored), "")
    named = _renamed(scored, asked)
    write_scored(_own_file(recipe, member), named, _own_origin(recipe, member, asked))
    return named


def _renamed(scored: Sequence[ScoredComparison], parts: Parts) -> list[ScoredComparison]:
    """Each under the hash of its content, without rewards of blank images."""
    names = zip(parts.keys.to_pylist(), parts.sources, strict=True)
    return [
        replace(one, id=key, source=source, blank_rewards=None)
        for one, (key, source) in zip(scored, names, strict=True)
    ]
