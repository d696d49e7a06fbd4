"""Which Comparisons of a split an ensemble is fitted on, and which it is judged on.

    split of the data --by hash of groups--> judged | the rest --by hash--> fitted on

Comparisons are known by the hash of their content here: ids need not be unique, and a member with another tokenizer has
prepared data of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.errors import RunError
from data_pipeline.filtering.columns import shares
from data_pipeline.filtering.groups import content_keys, group_names
from data_pipeline.filtering.split import split_again
from rm_core.ensembles.config import EnsembleConfig
from rm_core.scoring.scored import ScoredComparison

__all__ = ["Parts", "divide", "parts_of"]

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Comparisons of a split, and what each is for; N of them, in the order of the data.

    Attributes:
        keys: [N] hashes of content.
        sources: [N] names.
        groups: [N] equal for those that share an image or a text-only prompt.
        has_images: bool [N].
        judged: bool [N]; the others are fitted on.
    """

    keys: pa.StringArray
    sources: list[str]
    groups: list[str]
    has_images: Bools
    judged: Bools

    def take(self, where: Bools) -> "Parts":
        """Those where `where` [N] is set."""
        places = np.flatnonzero(where)
        return Parts(
            keys=self.keys.take(pa.array(places)),
            sources=[self.sources[place] for place in places],
            groups=[self.groups[place] for place in places],
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
    return _parts(data, indices, np.ones(len(indices), dtype=np.bool_)).take(wanted)


def _parts(data: PreparedData, indices: npt.NDArray[np.int64], judged: Bools) -> Parts:
    rows = data.all_rows.take(pa.array(data.row_indices(indices)))
    return Parts(
        keys=content_keys(data, indices),
        sources=rows["source"].to_pylist(),
        groups=group_names(data, indices),
        has_images=pc.list_value_length(rows["image_patches"]).to_numpy() > 0,
        judged=judged,
    )
