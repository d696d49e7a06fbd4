"""Some of the prepared Comparisons in two parts that share no image and no text-only prompt.

What is fitted on held-out Comparisons must be judged on others. The rule is that of the split itself (`split`),
under another seed, so that it says nothing of which part a Comparison came from.
"""

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline import storage
from data_pipeline.config import SplitConfig
from data_pipeline.dataset.layout import rows_url, unit_of_shard
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.dataset.shards import read_table
from data_pipeline.filtering.columns import lists
from data_pipeline.filtering.split import assign_splits

__all__ = ["content_keys", "split_again"]

_COLUMNS = ("content_key", "image_keys", "image_hashes", "prompt_key")


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
    keys = content_keys(data, indices)
    signals = _signals(data, keys)
    rows = pc.index_in(keys, signals["content_key"].combine_chunks()).to_numpy()
    table = signals.take(pa.array(rows))
    own_seed = int.from_bytes(hashlib.blake2b(f"second split {seed}".encode(), digest_size=6).digest())
    config = SplitConfig(heldout_fraction=share, seed=own_seed)
    splits = assign_splits(
        table["image_keys"], lists(table["image_hashes"]), table["prompt_key"], [""] * len(table), config
    )
    return splits.heldout


def content_keys(data: PreparedData, indices: npt.NDArray[np.int64]) -> pa.StringArray:
    """The hash of each Comparison's prompt, images and ranked responses; no two kept ones have the same."""
    column = data.all_rows["content_key"].take(pa.array(data.row_indices(indices)))
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _signals(data: PreparedData, keys: pa.StringArray) -> pa.Table:
    """Signals of the Comparisons with these keys; the same content has the same signals wherever it stands."""

    def of_unit(address: str) -> pa.Table:
        table = read_table(rows_url(address, data.folder)).select(_COLUMNS)
        return table.filter(pc.is_in(table["content_key"], keys))

    units = dict.fromkeys(unit_of_shard(shard.name) for shard in data.manifest.shards)
    return pa.concat_tables(storage.read_each(of_unit, units))
