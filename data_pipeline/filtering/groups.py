"""Which Comparisons belong together: all that an image, a perceptual twin or a text prompt connects are one group.

    row --its image files, their perceptual hashes; or its prompt where it has no image--> connected rows --> a name

One definition for all that has to keep them together: a split puts a group on one side, and an interval or a test over
Comparisons draws whole groups, since answers about one picture are not independent.

Groups are connected components (Pearce 2005, as in `scipy.sparse.csgraph`): with A and B sharing one image and B and C
another, all three are one.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline import storage
from data_pipeline.dataset.layout import rows_url, unit_of_shard
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.dataset.shards import read_table
from data_pipeline.dataset.tables import UNIT_ROWS_SCHEMA
from data_pipeline.errors import MissingInput
from data_pipeline.filtering.columns import Ints, Lists, coded_lists, codes, lists

__all__ = ["Groups", "connect", "content_keys", "group_names", "signals_of"]

_COLUMNS = ("content_key", "image_keys", "image_hashes", "prompt_key")


@dataclass(frozen=True, slots=True)
class Groups:
    """Which of N rows belong together.

    Attributes:
        of_rows: int64 [N] equal for the rows of one group: 0 to G - 1.
        names: G names, each of the group's smallest key: ``image:SHA256``, or ``prompt:SHA256``.
    """

    of_rows: Ints
    names: list[str]


def connect(image_keys: pa.ChunkedArray, image_hashes: pa.ChunkedArray, prompt_keys: pa.ChunkedArray) -> Groups:
    """The groups of N rows, a pure function of their content.

    Args:
        image_keys: lists of sha256, one a still image or frame of a video.
        image_hashes: perceptual hashes, parallel to `image_keys`; 0 for a flat picture, which only its file identifies.
        prompt_keys: keys of the prompts; they count for rows without images.
    """
    files, file_names = coded_lists(image_keys)
    prompts, prompt_names = codes(prompt_keys)
    groups = _components(files, lists(image_hashes), np.where(files.counts == 0, prompts, -1))
    smallest_file = files.reduced(np.minimum, len(file_names))
    num_groups = int(groups.max()) + 1 if len(groups) else 0
    names = [
        f"prompt:{prompt_names[prompt]}" if file == len(file_names) else f"image:{file_names[file]}"
        for file, prompt in zip(
            _least(smallest_file, groups, num_groups).tolist(),
            _least(prompts, groups, num_groups).tolist(),
            strict=True,
        )
    ]
    return Groups(groups, names)


def group_names(data: PreparedData, indices: npt.NDArray[np.int64]) -> list[str]:
    """The name of each Comparison's group among those at `indices`, N of them. No image and no shard is opened.

    Raises:
        MissingInput: the units' tables of signals, which preprocessing keeps beside the shards, are not there.
    """
    signals = signals_of(data, indices)
    groups = connect(signals["image_keys"], signals["image_hashes"], signals["prompt_key"])
    return [groups.names[group] for group in groups.of_rows.tolist()]


def signals_of(data: PreparedData, indices: npt.NDArray[np.int64]) -> pa.Table:
    """Content, image and prompt keys and image hashes of the Comparisons at `indices`, in their order.

    Raises:
        MissingInput: as for `group_names`.
    """
    keys = content_keys(data, indices)
    shards = np.unique(data.all_rows["shard"].take(pa.array(data.row_indices(indices))).to_numpy())
    units = dict.fromkeys(unit_of_shard(data.manifest.shards[shard].name) for shard in shards.tolist())

    def of_unit(address: str) -> pa.Table:
        url = rows_url(address, data.folder)
        if not storage.exists(url):
            raise MissingInput(
                f"{url!r} is not there: it says which Comparisons share an image or a prompt; copy the folder with "
                "its units/, or run `basereward preprocess` again, which does the units that are missing"
            )
        table = read_table(url).select(_COLUMNS)
        return table.filter(pc.is_in(table["content_key"], keys))

    # The same content has the same signals, wherever it stands.
    table = pa.concat_tables([UNIT_ROWS_SCHEMA.empty_table().select(_COLUMNS), *storage.read_each(of_unit, units)])
    return table.take(pc.index_in(keys, table["content_key"].combine_chunks()))


def content_keys(data: PreparedData, indices: npt.NDArray[np.int64]) -> pa.StringArray:
    """The hash of each Comparison's prompt, images and ranked responses; no two kept ones have the same."""
    column = data.all_rows["content_key"].take(pa.array(data.row_indices(indices)))
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


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
