"""Sizes of Comparisons from the Arrow columns of a rows table, without a Python object an entry, and what they cost.

Costs are FLOPs of one forward pass, linear in the sizes (`CostModel`). The coefficients belong to a backbone;
`rm_core.model.flops.cost_model` makes them from its config.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_pipeline.dataset.tables import REASONED

__all__ = [
    "GROUP_COLUMNS",
    "SIZE_COLUMNS",
    "ArrowIds",
    "CostModel",
    "JudgedCounts",
    "QuestionSizes",
    "RowSizes",
    "attention_pairs",
    "judged_counts_of",
    "sizes_of",
]

Integers = npt.NDArray[np.integer[Any]]


Lists = tuple[Integers, Integers]
"""Offsets and values: list i is values[offsets[i]:offsets[i + 1]]."""

SIZE_COLUMNS = ["prefix_length", "response_lengths", "image_patches", "span_frames", "ranks"]
"""The columns that `sizes_of` reads."""
GROUP_COLUMNS = [*SIZE_COLUMNS, "judged_counts", "judged"]
"""Those of a table of grouped Comparisons."""


@dataclass(frozen=True, slots=True)
class RowSizes:
    """Counts of each row, all int64 [rows].

    Attributes:
        tokens: prefix plus all responses.
        responses: K.
        pooled: tokens whose reward or verdict is read: one a response, or one a question about two of them.
        pairs: ordered pairs.
        attention_pairs: pairs (query, key) that may attend in the packed row.
        patches: vision patches of all spans.
        patch_pairs: sum over the pictures of patches squared; two frames of a video are one picture to the tower.
    """

    tokens: npt.NDArray[np.int64]
    responses: npt.NDArray[np.int64]
    pooled: npt.NDArray[np.int64]
    pairs: npt.NDArray[np.int64]
    attention_pairs: npt.NDArray[np.int64]
    patches: npt.NDArray[np.int64]
    patch_pairs: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class JudgedCounts:
    """What the records of grouped Comparisons say, as if each record were a Comparison of its own; all int [rows].

    Attributes:
        comparisons: records.
        pairs: ordered pairs.
        matches: unordered pairs, ties included.
        responses: judged responses; one that several records judge counts for each.
    """

    comparisons: Integers
    pairs: Integers
    matches: Integers
    responses: Integers

    @classmethod
    def joined(cls, parts: Sequence["JudgedCounts"]) -> "JudgedCounts":
        """Those of several parts, one behind the other; of no part, none."""
        none: Integers = np.zeros(0, dtype=np.int32)
        return cls(
            comparisons=np.concatenate([none, *(part.comparisons for part in parts)], dtype=np.int32),
            pairs=np.concatenate([none, *(part.pairs for part in parts)], dtype=np.int32),
            matches=np.concatenate([none, *(part.matches for part in parts)], dtype=np.int32),
            responses=np.concatenate([none, *(part.responses for part in parts)], dtype=np.int32),
        )

    def take(self, chosen: Integers) -> "JudgedCounts":
        """The counts of these entries."""
        return JudgedCounts(
            comparisons=self.comparisons[chosen],
            pairs=self.pairs[chosen],
            matches=self.matches[chosen],
            responses=self.responses[chosen],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSizes:
    """What the questions of a judge make of a Comparison's size; see `data_pipeline.encoding.questions`.

    Attributes:
        prefix: tokens that its prefix grows by.
        own: tokens of a question beside its two answers.
        end: tokens that an answer ends with, which a question leaves out.
        orders: questions about a pair: 1 or 2.
        ties: whether pairs of equal rank are asked about too.
        behind: tokens behind a given reasoning, where each reasoning is a question; None: they are not read.
    """

    prefix: int
    own: int
    end: int
    orders: int
    ties: bool
    behind: int | None = None


class ArrowIds(Sequence[str]):
    """Ids of rows of an Arrow table, read when they are asked for.

    Args:
        column: the ids of all rows.
        indices: int [N], the row of each entry.
    """

    def __init__(self, column: pa.ChunkedArray, indices: Integers) -> None:
        self._column = column
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "ArrowIds": ...
    def __getitem__(self, index: int | slice) -> "str | ArrowIds":
        if isinstance(index, slice):
            return self.take(index)
        return str(self._column[int(self._indices[index])].as_py())

    def take(self, chosen: Integers | slice) -> "ArrowIds":
        """The ids of these entries."""
        return ArrowIds(self._column, self._indices[chosen])


def judged_counts_of(batch: pa.RecordBatch) -> JudgedCounts:
    """What the records of one record batch of grouped Comparisons, which has `GROUP_COLUMNS`, say."""
    offsets, sizes = _lists(batch["judged_counts"])
    sizes, inside = sizes[offsets[0] : offsets[-1]].astype(np.int64), offsets - offsets[0]
    rank_offsets, ranks = _lists(batch["ranks"])
    of_records = np.concatenate([[0], np.cumsum(sizes)])
    pairs = _pairs_of_lists((of_records, ranks[rank_offsets[0] : rank_offsets[-1]]))
    return JudgedCounts(
        comparisons=np.diff(offsets).astype(np.int64),
        pairs=_sum_of_lists((inside, pairs)),
        matches=_sum_of_lists((inside, sizes * (sizes - 1) // 2)),
        responses=_sum_of_lists((inside, sizes)),
    )


def sizes_of(
    batch: pa.RecordBatch, judged: JudgedCounts | None = None, questions: QuestionSizes | None = None
) -> RowSizes:
    """Sizes of the rows of one record batch, which has `SIZE_COLUMNS`.

    Args:
        judged: where the rows are grouped Comparisons, whose ranks are those of several records.
        questions: where a judge reads them.
    """
    prefix = batch["prefix_length"].to_numpy().astype(np.int64)
    offsets, lengths = _lists(batch["response_lengths"])
    spans, patches = _lists(batch["image_patches"])
    _, frames = _lists(batch["span_frames"])
    pictures = np.maximum(1, (frames + 1) // 2)
    pooled = responses = np.diff(offsets).astype(np.int64)
    if questions is None:
        in_responses, squares = _sum_of_lists((offsets, lengths)), _sum_of_lists((offsets, _squared(lengths)))
    else:
        pooled, in_responses, squares = _asked(batch, questions, grouped=judged is not None)
        prefix = prefix + questions.prefix
    return RowSizes(
        tokens=prefix + in_responses,
        responses=responses,
        pooled=pooled,
        pairs=_pairs_of_lists(_lists(batch["ranks"])) if judged is None else judged.pairs.astype(np.int64),
        # Causal among themselves: n (n + 1) / 2 pairs of n tokens. Each token of a response sees the whole prefix.
        attention_pairs=(prefix * (prefix + 1) + squares + in_responses) // 2 + in_responses * prefix,
        patches=_sum_of_lists((spans, patches)),
        patch_pairs=_sum_of_lists((spans, _squared(patches) // pictures)),
    )


def _asked(batch: pa.RecordBatch, questions: QuestionSizes, *, grouped: bool) -> tuple[npt.NDArray[np.int64], ...]:
    """Of each row its questions, their tokens, and the squares of these, summed; all [rows]."""
    if questions.behind is not None:
        offsets, lengths = _lists(batch[REASONED.name])
        tokens = lengths.astype(np.int64) - 2 * questions.end + questions.own + questions.behind
        return np.diff(offsets).astype(np.int64), _sum_of_lists((offsets, tokens)), _sum_of_lists((offsets, tokens**2))
    of_rows, ranks = _inside(_lists(batch["ranks"]))
    of_records, sizes = _judged_lengths(batch, of_rows) if grouped else _inside(_lists(batch["response_lengths"]))
    sizes = sizes.astype(np.int64) - questions.end
    found = np.zeros((3, len(ranks)), dtype=np.int64)
    counts = np.diff(of_records)
    end_of, position = np.repeat(of_records[1:], counts), np.arange(len(ranks))
    for distance in range(1, int(counts.max(initial=0))):
        asked = position[distance:] < end_of[:-distance]
        if not questions.ties:
            asked = asked & (ranks[:-distance] != ranks[distance:])
        tokens = np.where(asked, sizes[:-distance] + sizes[distance:] + questions.own, 0)
        found[:, :-distance] += questions.orders * np.stack([asked, tokens, tokens**2])
    return tuple(_sum_of_lists((of_rows, column)) for column in found)


def _judged_lengths(batch: pa.RecordBatch, of_rows: Integers) -> Lists:
    """Of grouped Comparisons, the tokens of what each record judges."""
    offsets, lengths = _lists(batch["response_lengths"])
    _, places = _inside(_lists(batch["judged"]))
    _, counts = _inside(_lists(batch["judged_counts"]))
    rows = np.repeat(np.arange(len(batch)), np.diff(of_rows))
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]), lengths[offsets[rows] + places]


def _inside(lists: Lists) -> Lists:
    """The same without what a slice of a column leaves out."""
    offsets, values = lists
    return offsets - offsets[0], values[offsets[0] : offsets[-1]]


def _lists(column: pa.ListArray) -> Lists:
    """Offsets and values of a list column without nulls."""
    return column.offsets.to_numpy(), column.values.to_numpy()


def _squared(values: Integers) -> npt.NDArray[np.int64]:
    squares: npt.NDArray[np.int64] = values.astype(np.int64) ** 2
    return squares


def _sum_of_lists(lists: Lists) -> npt.NDArray[np.int64]:
    offsets, values = lists
    values = values[offsets[0] : offsets[-1]]
    running = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    ends: npt.NDArray[np.int64] = running[offsets - offsets[0]]
    return np.diff(ends)


def _pairs_of_lists(lists: Lists) -> npt.NDArray[np.int64]:
    """Pairs of values that differ, within each list: each value against the next one, the one after, ..."""
    offsets, ranks = lists
    counts = np.diff(offsets)
    ranks, inside = ranks[offsets[0] : offsets[-1]], offsets - offsets[0]
    end_of, position = np.repeat(inside[1:], counts), np.arange(len(ranks), dtype=np.int32)
    differing = np.zeros(len(ranks), dtype=np.int32)
    for distance in range(1, int(counts.max(initial=0))):
        in_list = position[distance:] < end_of[:-distance]
        differing[:-distance] += in_list & (ranks[:-distance] != ranks[distance:])
    return _sum_of_lists((inside, differing))


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """FLOPs of a forward pass for one unit of each kind; a backward pass takes twice as many, whatever the row.

    Attributes:
        token: a text or image token of the language model: its linear layers.
        response: a pooled token, of a response or a question: what runs for it alone.
        attention_pair: a pair of tokens (query, key) that the rule of the packed row allows.
        patch: a vision patch: the linear layers of tower and merger, and attention inside a whole window or tile.
        patch_pair: a pair of patches of one image in the tower's blocks without windows; 0: it has none, or tiles.
    """

    token: float
    response: float
    attention_pair: float
    patch: float = 0.0
    patch_pair: float = 0.0

    def cost(
        self, tokens: Integers, pooled: Integers, attention_pairs: Integers, patches: Integers, patch_pairs: Integers
    ) -> npt.NDArray[np.float64]:
        """FLOPs of each Comparison from its counts, all [N]: float64 [N]."""
        of_text = self.token * tokens + self.response * pooled + self.attention_pair * attention_pairs
        total: npt.NDArray[np.float64] = of_text + self.patch * patches + self.patch_pair * patch_pairs
        return total


def attention_pairs(prefix: int, responses: Sequence[int]) -> int:
    """Pairs (query, key) that may attend in one Comparison: causal inside the prefix, each response sees it and itself.

    A prefix of 3 tokens with responses of 2 and 1: 6 + (6 + 3) + (3 + 1) = 19.
    """
    return prefix * (prefix + 1) // 2 + sum(length * prefix + length * (length + 1) // 2 for length in responses)
