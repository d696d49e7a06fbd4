"""Prepared data as grouped Comparisons, by the manifest's table of groups: what a training of such data reads."""

from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.encoding.joining import joined
from data_pipeline.errors import CorruptData

__all__ = ["GroupedData"]

_COLUMNS = ("records", "judged_counts", "judged", "response_spans", "span_frames")


class GroupedData:
    """The grouped Comparisons of prepared data, in the order of the table of groups.

    Attributes:
        data: whose rows the groups name.
        table: the groups, in `GROUPS_SCHEMA`.

    Raises:
        ValueError: `data` is not grouped.
    """

    def __init__(self, data: PreparedData) -> None:
        if data.groups is None:
            raise ValueError(f"{data.folder!r} holds no groups: its recipe has no group_prompts")
        self.data = data
        self.table = data.groups

    def __len__(self) -> int:
        return len(self.table)

    def __reduce__(self) -> tuple[Any, tuple[PreparedData]]:
        return (GroupedData, (self.data,))

    def epoch_indices(self, split: str) -> npt.NDArray[np.int64]:
        """Groups that an epoch of the split shows, ascending, each as often as filtering repeats it: int64 [N]."""
        indices = np.flatnonzero(pc.equal(self.table["split"], split).to_numpy()).astype(np.int64)
        return np.repeat(indices, self.table["repeats"].to_numpy()[indices])

    def encoded(self, index: int) -> EncodedComparison:
        """Group `index` as tokens, with its images' stored bytes; one of a single record is that record's Comparison.

        Raises:
            CorruptData: a shard is not the one that was written, or does not fit the table of groups.
        """
        rows, counts, judged, spans, frames = (self._lists[name][index].values.to_pylist() for name in _COLUMNS)
        if len(rows) == 1:
            return self.data.encoded_row(rows[0])
        in_prompt = len(frames) - sum(spans)
        records = [self.data.encoded_row(row, first_span=in_prompt if place else 0) for place, row in enumerate(rows)]
        places = [judged[start:stop] for start, stop in pairwise(accumulate(counts, initial=0))]
        try:
            return joined(records, places, spans)
        except (ValueError, LookupError) as error:
            raise CorruptData(
                f"group {index} of {self.data.folder!r} is not as its table says ({error}): copy the folder from where "
                "it was made, or run the same preprocess there again"
            ) from error

    def prefetch(self, indices: npt.NDArray[np.integer[Any]]) -> None:
        """Begin to copy the remote shards of all records of some groups into the cache."""
        rows = self.table["records"].take(pa.array(indices)).combine_chunks()
        self.data.prefetch_rows(rows.flatten().to_numpy())

    @cached_property
    def _lists(self) -> dict[str, pa.Array]:
        return {name: self.table[name].combine_chunks() for name in _COLUMNS}
