"""Which split every row falls in: rows that share an image, or a text-only prompt, are one group and in one split.

    row --its image files, their perceptual hashes; or its prompt where it has no image--> groups --hash--> split

Groups are connected components (Pearce 2005, as in `scipy.sparse.csgraph`): with A and B sharing one image and B and C
another, all three are one. Only rows that are still used may connect others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from data_pipeline.config import SplitConfig
from data_pipeline.filtering.columns import Bools, Ints, Lists, coded_lists, codes, shares

__all__ = ["Splits", "assign_splits"]


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
