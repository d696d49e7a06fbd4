"""The planning columns of a split: what packing needs to know of every Comparison, as NumPy arrays."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_pipeline.errors import RecipeError

__all__ = ["PlanningTable", "num_ordered_pairs", "relative_cost"]

_ATTENTION_WEIGHT = 1 / 4096
"""At about this length in tokens the quadratic attention of a Comparison costs as much as its linear layers."""
_PATCH_WEIGHT = 0.25
"""A vision patch costs about a quarter of a text token: the tower is smaller, and four patches make one token."""


@dataclass(frozen=True)
class PlanningTable:
    """One entry a Comparison; entry i is row `index[i]` of the prepared data.

    Attributes:
        index: int64 [N], row of `PreparedData`.
        num_tokens: int64 [N], prefix plus all responses.
        num_patches: int64 [N], vision patches of all image spans.
        num_pairs: int64 [N], ordered pairs.
        cost: float64 [N], relative compute, for balancing ranks.
        ids: the records' ids, for messages.
    """

    index: npt.NDArray[np.int64]
    num_tokens: npt.NDArray[np.int64]
    num_patches: npt.NDArray[np.int64]
    num_pairs: npt.NDArray[np.int64]
    cost: npt.NDArray[np.float64]
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def from_rows(cls, rows: pa.Table, index: npt.NDArray[np.int64]) -> "PlanningTable":
        """Columns of `rows` (the manifest's rows table) at `index`."""
        part = rows.take(pa.array(index))
        prefix = part["prefix_length"].to_numpy().astype(np.int64)
        responses = part["response_lengths"].to_pylist()
        num_tokens = prefix + np.array([sum(lengths) for lengths in responses], dtype=np.int64)
        num_patches = np.array([sum(patches) for patches in part["image_patches"].to_pylist()], dtype=np.int64)
        num_pairs = np.array([num_ordered_pairs(ranks) for ranks in part["ranks"].to_pylist()], dtype=np.int64)
        cost = relative_cost(num_tokens, num_patches)
        return cls(index, num_tokens, num_patches, num_pairs, cost, tuple(part["id"].to_pylist()))

    def check_fits(self, *, tokens: int, patches: int) -> None:
        """Refuse a Comparison that alone exceeds a budget of one packed row.

        Raises:
            RecipeError: names the largest one, its size and the budget.
        """
        for name, sizes, limit in (
            ("token_budget", self.num_tokens, tokens),
            ("patch_budget", self.num_patches, patches),
        ):
            largest = int(np.argmax(sizes))
            if int(sizes[largest]) > limit:
                raise RecipeError(
                    f"Comparison {self.ids[largest]!r} needs {int(sizes[largest])} of {name}={limit}: raise {name}, "
                    "or preprocess with a smaller encode.max_tokens or encode.max_pixels"
                )


def relative_cost(num_tokens: npt.NDArray[np.int64], num_patches: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Compute of a Comparison in units of one text token's linear layers: linear, attention and vision terms."""
    attention = _ATTENTION_WEIGHT * num_tokens.astype(np.float64) ** 2
    cost: npt.NDArray[np.float64] = num_tokens + attention + _PATCH_WEIGHT * num_patches
    return cost


def num_ordered_pairs(ranks: list[int]) -> int:
    """Pairs of responses with different ranks."""
    return sum(a < b for a in ranks for b in ranks)
