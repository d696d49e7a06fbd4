"""The planning columns of a split: what packing needs to know of every Comparison, as NumPy arrays.

26 bytes a Comparison, its place in the Arrow table included. They are computed from the Arrow columns a piece at a
time, so that a table of many millions of rows that is memory-mapped stays on the disk.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_pipeline.dataset.tables import REASONED
from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.errors import RecipeError, RunError
from rm_core.packing.row_sizes import (
    GROUP_COLUMNS,
    SIZE_COLUMNS,
    ArrowIds,
    CostModel,
    JudgedCounts,
    QuestionSizes,
    RowSizes,
    attention_pairs,
    judged_counts_of,
    sizes_of,
)

__all__ = ["PlanningTable", "StepCounts", "num_ordered_pairs"]

Integers = npt.NDArray[np.integer[Any]]

_PIECE = 1 << 16
"""Rows whose lists are looked at together: what fits into a processor's cache."""
_STORED = {"num_tokens": np.int32, "num_patches": np.int32, "num_pairs": np.int32, "num_responses": np.uint16,
           "cost": np.float32}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StepCounts:
    """What one optimiser step holds over all ranks: known from the plan alone, the units that losses are divided by.

    A grouped Comparison counts as its records do: a response that several of them judge counts for each. So a step of
    grouped Comparisons has the loss of the same records as separate Comparisons. Tokens and patches are those computed.

    Attributes:
        comparisons: Comparisons.
        pairs: ordered pairs: responses of different rank.
        matches: unordered pairs of responses, ties included: K (K - 1) / 2 each.
        responses: responses.
        tokens: prefix once and all responses.
        patches: vision patches of all spans as shown; an image shown twice counts twice.
    """

    comparisons: int
    pairs: int
    matches: int
    responses: int
    tokens: int
    patches: int


@dataclass(frozen=True)
class PlanningTable:
    """One entry a Comparison that an epoch shows; a Comparison shown twice has two entries.

    Attributes:
        index: int [N], row of `PreparedData`.
        num_tokens: int [N], prefix plus all responses.
        num_patches: int [N], vision patches of all image spans.
        num_pairs: int [N], ordered pairs.
        num_responses: int [N], of a grouped Comparison the judged ones.
        cost: float [N], FLOPs of a forward pass, for balancing ranks.
        ids: the records' ids, for messages.
        judged: where Comparisons are grouped, what their records say; None: each is of one record.
    """

    index: Integers
    num_tokens: Integers
    num_patches: Integers
    num_pairs: Integers
    num_responses: Integers
    cost: npt.NDArray[np.floating[Any]]
    ids: Sequence[str]
    judged: JudgedCounts | None = None

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def from_rows(
        cls,
        rows: pa.Table,
        index: Integers,
        *,
        places: Integers | None = None,
        cost_model: CostModel,
        questions: QuestionSizes | None = None,
    ) -> "PlanningTable":
        """Columns of `rows` (in `dataset.tables.ROWS_SCHEMA`) at `index`; an index may occur several times.

        Rows know the patches of a picture and not its shape: all of them count as attending to each other.

        Args:
            places: int [N], row of `rows` of each entry, where that is not `index` (`PreparedData.all_rows` also
                holds refused rows).
            questions: where a judge reads them.

        Raises:
            RunError: a Comparison of more than 65,535 responses.
        """
        places = index if places is None else places
        stored = {name: np.empty(len(rows), dtype=kind) for name, kind in _STORED.items()}
        start = 0
        reasoned = questions is not None and questions.behind is not None
        for batch in rows.select([*SIZE_COLUMNS, *([REASONED.name] if reasoned else [])]).to_batches(_PIECE):
            for name, values in _columns(sizes_of(batch, questions=questions), cost_model).items():
                stored[name][start : start + len(batch)] = values
            start += len(batch)
        # One column at a time: that of all rows goes as that of the entries comes.
        columns: dict[str, Any] = {name: stored.pop(name)[places] for name in _STORED}
        return cls(index=index.astype(np.int32), ids=ArrowIds(rows["id"], places), **columns)

    @classmethod
    def from_groups(
        cls, groups: pa.Table, index: Integers, *, cost_model: CostModel, questions: QuestionSizes | None = None
    ) -> "PlanningTable":
        """Columns of grouped Comparisons (in `dataset.tables.GROUPS_SCHEMA`) at `index`, as `from_rows`.

        Raises:
            RunError: a Comparison of more than 65,535 judged responses.
        """
        parts: list[JudgedCounts] = []
        stored = {name: [np.zeros(0, dtype=kind)] for name, kind in _STORED.items()}
        for batch in groups.select(GROUP_COLUMNS).to_batches(max_chunksize=_PIECE):
            counts = judged_counts_of(batch)
            for name, values in _columns(sizes_of(batch, counts, questions), cost_model, counts).items():
                stored[name].append(values.astype(_STORED[name]))
            parts.append(counts)
        columns: dict[str, Any] = {name: np.concatenate(values)[index] for name, values in stored.items()}
        judged = JudgedCounts.joined(parts)
        ids = ArrowIds(groups["id"], index)
        return cls(index=index.astype(np.int32), ids=ids, judged=judged.take(index), **columns)

    @classmethod
    def from_comparisons(cls, comparisons: Sequence[EncodedComparison], cost_model: CostModel) -> "PlanningTable":
        """The table of Comparisons in memory, each shown once; its index counts them."""
        judged = _judged_in_memory(comparisons) if any(item.judgements for item in comparisons) else None
        columns = _columns(_sizes_in_memory(comparisons), cost_model, judged)
        ids = tuple(item.id for item in comparisons)
        return cls(index=np.arange(len(comparisons)), ids=ids, judged=judged, **columns)

    @property
    def has_images(self) -> npt.NDArray[np.bool_]:
        """Bool [N], which Comparisons show an image or a video."""
        return self.num_patches > 0

    def where(self, mask: npt.NDArray[np.bool_]) -> "PlanningTable":
        """The table of the entries that `mask` [N] marks, in their order; `index` still says where the data is."""
        chosen = np.flatnonzero(mask)
        ids = self.ids.take(chosen) if isinstance(self.ids, ArrowIds) else tuple(self.ids[int(i)] for i in chosen)
        columns: dict[str, Any] = {name: getattr(self, name)[chosen] for name in ("index", *_STORED)}
        return PlanningTable(ids=ids, judged=self.judged and self.judged.take(chosen), **columns)

    def counts(self, rows: Integers) -> npt.NDArray[np.int64]:
        """Counts of S steps of G Comparisons, `rows` [S, G], -1 for none: int64 [S, 6] in the order of `StepCounts`."""
        filled: Any = rows >= 0
        if filled.all():
            filled = True
        return np.stack([column.sum(axis=1, dtype=np.int64, where=filled) for column in self._counted(rows)], axis=1)

    def _counted(self, rows: Integers) -> tuple[Integers, ...]:
        """The columns of `StepCounts` at `rows`, each of their shape."""
        responses = self.num_responses[rows].astype(np.int64)
        comparisons: Integers = np.ones(rows.shape, dtype=np.int64)
        matches: Integers = responses * (responses - 1) // 2
        if self.judged is not None:
            comparisons, matches = self.judged.comparisons[rows], self.judged.matches[rows]
        return (
            comparisons,
            self.num_pairs[rows],
            matches,
            responses,
            self.num_tokens[rows],
            self.num_patches[rows],
        )

    def check_fits(self, *, tokens: int, patches: int) -> None:
        """Refuse a Comparison that alone exceeds a budget of one packed row.

        Raises:
            RecipeError: names the largest one, its size and the budget.
        """
        cures = "rules.max_tokens, encode.max_pixels or encode.max_tiles"
        if self.judged is not None:
            cures = f"group_max_tokens, {cures}"
        for name, sizes, limit in (
            ("token_budget", self.num_tokens, tokens),
            ("patch_budget", self.num_patches, patches),
        ):
            largest = int(np.argmax(sizes))
            if int(sizes[largest]) > limit:
                raise RecipeError(
                    f"Comparison {self.ids[largest]!r} needs {int(sizes[largest])} of {name}={limit}: raise {name}, "
                    f"or preprocess with a smaller {cures}"
                )


def num_ordered_pairs(ranks: Sequence[int]) -> int:
    """Pairs of responses with different ranks."""
    return sum(a < b for a in ranks for b in ranks)


def _columns(sizes: RowSizes, cost_model: CostModel, judged: JudgedCounts | None = None) -> dict[str, npt.NDArray[Any]]:
    """The columns named in `_STORED`, in any type that holds them."""
    limit = np.iinfo(np.uint16).max
    responses = sizes.responses if judged is None else judged.responses
    if (most := int(responses.max(initial=0))) > limit:
        raise RunError(f"a Comparison has {most:,} responses, a plan counts up to {limit:,}: split it")
    cost = cost_model.cost(
        tokens=sizes.tokens,
        pooled=sizes.pooled,
        attention_pairs=sizes.attention_pairs,
        patches=sizes.patches,
        patch_pairs=sizes.patch_pairs,
    )
    return {
        "num_tokens": sizes.tokens,
        "num_patches": sizes.patches,
        "num_pairs": sizes.pairs,
        "num_responses": responses,
        "cost": cost,
    }


def _judged_in_memory(comparisons: Sequence[EncodedComparison]) -> JudgedCounts:
    sizes = [[len(one.ranks) for one in item.judged] for item in comparisons]
    return JudgedCounts(
        comparisons=_int64(map(len, sizes)),
        pairs=_int64(sum(num_ordered_pairs(one.ranks) for one in item.judged) for item in comparisons),
        matches=_int64(sum(size * (size - 1) // 2 for size in parts) for parts in sizes),
        responses=_int64(map(sum, sizes)),
    )


def _sizes_in_memory(comparisons: Sequence[EncodedComparison]) -> RowSizes:
    grids = [[image.grid for image in item.images] for item in comparisons]
    lengths = [[len(ids) for ids in item.response_ids] for item in comparisons]
    return RowSizes(
        tokens=_int64(item.num_tokens for item in comparisons),
        responses=_int64(len(item.answer_lengths) for item in comparisons),
        pooled=_int64(map(len, lengths)),
        pairs=_int64(sum(num_ordered_pairs(one.ranks) for one in item.judged) for item in comparisons),
        attention_pairs=_int64(
            attention_pairs(len(item.prefix_ids), parts) for item, parts in zip(comparisons, lengths, strict=True)
        ),
        patches=_int64(sum(frames * rows * columns for frames, rows, columns in parts) for parts in grids),
        patch_pairs=_int64(sum(frames * (rows * columns) ** 2 for frames, rows, columns in parts) for parts in grids),
    )


def _int64(values: Iterable[int]) -> npt.NDArray[np.int64]:
    return np.fromiter(values, dtype=np.int64)
