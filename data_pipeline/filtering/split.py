"""Which split every row falls in: rows that share an image, or a text-only prompt, are one group and in one split.

    row --its image files, their perceptual hashes; or its prompt where it has no image--> groups --hash--> split

Groups are connected components (Pearce 2005, as in `scipy.sparse.csgraph`): with A and B sharing one image and B and C
another, all three are one. Only rows that are still used may connect others.

`split_again` puts some of the prepared Comparisons in two parts that share no image and no text-only prompt.

What is fitted on held-out Comparisons must be judged on others. The rule is that of the split itself (`split`),
under another seed, so that it says nothing of which part a Comparison came from.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline import storage
from data_pipeline.config import SplitConfig
from data_pipeline.dataset.layout import rows_url, unit_of_shard
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.dataset.shards import read_table
from data_pipeline.filtering.columns import Bools, Ints, Lists, coded_lists, codes, lists, shares

__all__ = ["Splits", "assign_splits", "content_keys", "split_again"]


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
    image_hashes: Lists,
    prompt_keys: pa.ChunkedArray,
    own_split: Sequence[str],
    config: SplitConfig,
) -> Splits:
    """The split of N rows, a pure function of their content and the seed.

    A group is held out where any of its rows says so itself, else trained on where any says that, else by a hash of the
    seed and the group's smallest key. Its rows that say ``train`` and are held out all the same are leaks.

    Args:
        image_keys: lists of sha256, one a still image or frame of a video.
        image_hashes: perceptual hashes, parallel to `image_keys`; 0 for a flat picture, which only its file identifies.
        prompt_keys: keys of the prompts; they count for rows without images.
        own_split: ``"train"``, ``"heldout"`` or ``""``, N of them.
    """
    files, file_names = coded_lists(image_keys)
    prompts, prompt_names = codes(prompt_keys)
    bare = files.counts == 0
    groups = _components(files, image_hashes, np.where(bare, prompts, -1))
    smallest_file = files.reduced(np.minimum, len(file_names))
    own = np.array([*own_split, ""], dtype=str)[:-1]
    num_groups = int(groups.max()) + 1 if len(groups) else 0
    says_heldout = np.bincount(groups, weights=own == "heldout", minlength=num_groups) > 0
    says_train = np.bincount(groups, weights=own == "train", minlength=num_groups) > 0
    names = [
        f"prompt:{prompt_names[prompt]}" if file == len(file_names) else f"image:{file_names[file]}"
        for file, prompt in zip(
            _least(smallest_file, groups, num_groups).tolist(),
            _least(prompts, groups, num_groups).tolist(),
            strict=True,
        )
    ]
    by_hash = shares(config.seed, "split", names) < config.heldout_fraction
    heldout = (says_heldout | (by_hash & ~says_train))[groups]
    return Splits(groups, heldout, heldout & (own == "train"))


def _components(files: Lists, hashes: Lists, prompts: Ints) -> Ints:
    """int64 [N] groups of rows connected by files, by hashes other than 0, or by prompts other than -1."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    num_rows = len(prompts)
    pictures, picture = np.unique(hashes.values, return_inverse=True)
    has_hash, has_prompt = hashes.values != 0, prompts >= 0
    first_picture = num_rows + int(files.values.max(initial=-1)) + 1
    first_prompt = first_picture + len(pictures)
    rows = np.concatenate((files.owners, hashes.owners[has_hash], np.flatnonzero(has_prompt)))
    nodes = np.concatenate(
        (num_rows + files.values, first_picture + picture[has_hash], first_prompt + prompts[has_prompt])
    )
    size = first_prompt + int(prompts.max(initial=-1)) + 1
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, nodes)), shape=(size, size))
    labels = connected_components(graph, directed=False)[1][:num_rows]
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _least(values: Ints, groups: Ints, num_groups: int) -> Ints:
    least = np.full(num_groups, np.iinfo(np.int64).max)
    np.minimum.at(least, groups, values)
    return least


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
