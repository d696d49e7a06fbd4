"""Which split every row falls in: rows of one group (`groups`) are in one split, so that none says what another asks.

Only rows that are still used may connect others.

`split_again` puts some of the prepared Comparisons in two parts that share no image and no text-only prompt. What is
fitted on held-out Comparisons must be judged on others. The rule is that of the split itself, under another seed, so
that it says nothing of which part a Comparison came from.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_pipeline.config import SplitConfig
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.filtering.columns import Bools, Ints, shares
from data_pipeline.filtering.groups import connect, signals_of

__all__ = ["Splits", "assign_splits", "split_again"]


@dataclass(frozen=True, slots=True)
class Splits:
    """Where rows fall.

    Attributes:
        groups: int64 [N] equal for rows that have to be in one split.
        heldout: bool [N]; the others are trained on.
        leaks: bool [N] the record or its source says ``train``, but its group is held out.
    """

    groups: Ints
    heldout: Bools
    leaks: Bools


def assign_splits(
    image_keys: pa.ChunkedArray,
    image_hashes: pa.ChunkedArray,
    prompt_keys: pa.ChunkedArray,
    own_split: Sequence[str],
    config: SplitConfig,
) -> Splits:
    """The split of N rows, a pure function of their content and the seed.

    A group is held out where any of its rows says so itself, else trained on where any says that, else by a hash of the
    seed and the group's smallest key. Its rows that say ``train`` and are held out all the same are leaks.

    Args:
        image_keys, image_hashes, prompt_keys: as for `groups.connect`.
        own_split: ``"train"``, ``"heldout"`` or ``""``, N of them.
    """
    groups = connect(image_keys, image_hashes, prompt_keys)
    own = np.array([*own_split, ""], dtype=str)[:-1]
    num_groups = len(groups.names)
    says_heldout = np.bincount(groups.of_rows, weights=own == "heldout", minlength=num_groups) > 0
    says_train = np.bincount(groups.of_rows, weights=own == "train", minlength=num_groups) > 0
    by_hash = shares(config.seed, "split", groups.names) < config.heldout_fraction
    heldout = (says_heldout | (by_hash & ~says_train))[groups.of_rows]
    return Splits(groups.of_rows, heldout, heldout & (own == "train"))


def split_again(
    data: PreparedData, indices: npt.NDArray[np.int64], *, share: float, seed: int
) -> npt.NDArray[np.bool_]:
    """Which Comparisons fall on the second part: bool [N].

    A pure function of their contents and the seed; Comparisons that share an image, or a text-only prompt, stay
    together. No image and no shard is opened.

    Args:
        indices: of Comparisons of `data`, int64 [N].
        share: of the groups that fall there, 0 to 1.
        seed: another seed chooses other groups.

    Raises:
        MissingInput: the units' tables of signals, which preprocessing keeps beside the shards, are not there.
    """
    signals = signals_of(data, indices)
    own_seed = int.from_bytes(hashlib.blake2b(f"second split {seed}".encode(), digest_size=6).digest())
    config = SplitConfig(heldout_fraction=share, seed=own_seed)
    splits = assign_splits(
        signals["image_keys"], signals["image_hashes"], signals["prompt_key"], [""] * len(signals), config
    )
    return splits.heldout
