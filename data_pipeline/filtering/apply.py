"""All filters over all rows, in the one order that the package's docstring shows."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from data_pipeline.config import PreprocessConfig
from data_pipeline.errors import RecipeError
from data_pipeline.filtering.columns import Ints, codes, indices_in, numbers
from data_pipeline.filtering.contamination import BenchmarkIndex, overlaps
from data_pipeline.filtering.mixture import check_mixture, over_caps, repeats
from data_pipeline.filtering.near_duplicates import near_duplicates
from data_pipeline.filtering.rules import refusals, sizes
from data_pipeline.filtering.split import assign_splits

__all__ = ["REASONS", "FilterResult", "apply_filters", "canonical_order", "check_filters"]

REASONS = (
    "too_long",
    "identical_after_truncation",
    "response_too_short",
    "response_too_long",
    "prompt_too_long",
    "language",
    "duplicate",
    "near_duplicate",
    "contaminated",
    "split_leak",
    "over_cap",
)
"""Every reason, in the order in which the first one counts."""

_SPLITS = ("train", "heldout")


@dataclass(kw_only=True)
class FilterResult:
    """What was decided of N rows, in the table's order.

    Attributes:
        reasons: "" for a kept row, else one of `REASONS`.
        details: the offending value of a refused row, "" for a kept one.
        splits: "train" or "heldout"; "" for a refused row.
        repeats: int64 [N] times an epoch shows the row: 1 for held-out rows, 0 for refused ones and for rows that a
            repeat, weight or ratio below 1 leaves out.
        dropped_turns: int64 [N] oldest turns cut away after the system turn.
        prefix_length: int64 [N] tokens after the cut.
        response_lengths: N tuples of tokens after the cut, with the closing ones.
        overlaps: rows that each benchmark refused, by its name.
    """

    reasons: list[str]
    details: list[str]
    splits: list[str]
    repeats: Ints
    dropped_turns: Ints
    prefix_length: Ints
    response_lengths: list[tuple[int, ...]]
    overlaps: dict[str, int] = field(default_factory=dict)


def check_filters(config: PreprocessConfig) -> None:
    """Refuse languages that are no codes, and sources that no mixture can be made of.

    Raises:
        RecipeError: names the key, its value and the cure.
    """
    for language in config.rules.languages:
        if not (len(language) == 2 and language.isascii() and language.islower()):
            raise RecipeError(f"rules.languages={language!r} must be ISO 639-1 codes: two small letters, such as en")
    check_mixture(config)


def apply_filters(table: pa.Table, config: PreprocessConfig, benchmarks: BenchmarkIndex | None) -> FilterResult:
    """Decide every row of `table` (`UNIT_ROWS_SCHEMA`, N rows in plan order). A row gets the first reason only.

    Args:
        benchmarks: the index of `config.decontaminate.against`; None where that is empty.

    Raises:
        RecipeError: `mixture.text_ratio` cannot be met by what is left.
    """
    left = sizes(table, config.rules)
    state = _Refusals(table, config)
    for refusal in refusals(table, left, config.rules):
        state.add(refusal.reason, refusal.rows, refusal.details)
    state.add_duplicates()
    overlapping = state.add_contaminated(benchmarks)
    heldout = state.add_leaks()
    return FilterResult(
        reasons=state.reasons,
        details=state.details,
        repeats=state.add_over_caps(heldout),
        splits=[
            "" if reason else _SPLITS[split] for reason, split in zip(state.reasons, heldout.tolist(), strict=True)
        ],
        dropped_turns=left.dropped_turns,
        prefix_length=left.prefix_length,
        response_lengths=left.response_lengths,
        overlaps=overlapping,
    )


def canonical_order(table: pa.Table, source_names: list[str]) -> Ints:
    """int64 [N] rows in the order in which the first of several wins.

    By the source's place in `source_names`, then by content, so that files and rows may come in any order. Records of
    one content in one source: first one that fixes its split (held out before train), then the most repeated file, then
    the first row.
    """
    keys, _ = codes(table["content_key"])
    split = indices_in(table["own_split"], pa.array(["heldout", "train", ""]))
    repeat = -numbers(table["file_repeat"])
    return np.lexsort((repeat, split, keys, indices_in(table["source"], pa.array(source_names, pa.string()))))


def _firsts(table: pa.Table, order: Ints) -> Ints:
    """int64 [N] for each row, the first row in `order` with its content key; -1 for a row that `order` leaves out.

    A row is an exact duplicate where another row than itself comes out.
    """
    keys, names = codes(table["content_key"])
    first = np.full(len(names), -1, dtype=np.int64)
    backwards = order[::-1]
    first[keys[backwards]] = backwards  # the last write of a key is its first row
    found = np.full(len(keys), -1, dtype=np.int64)
    found[order] = first[keys[order]]
    return found


class _Refusals:
    """The refused rows so far; each step reads the rows that are left."""

    def __init__(self, table: pa.Table, config: PreprocessConfig) -> None:
        self._table = table
        self._config = config
        self.reasons = [""] * len(table)
        self.details = [""] * len(table)

    def add(self, reason: str, rows: Ints, details: list[str]) -> None:
        for row, detail in zip(rows.tolist(), details, strict=True):
            if not self.reasons[row]:
                self.reasons[row], self.details[row] = reason, detail

    def left(self) -> Ints:
        return np.flatnonzero([not reason for reason in self.reasons])

    def add_duplicates(self) -> None:
        order = canonical_order(self._table, [source.name for source in self._config.sources])
        order = order[np.isin(order, self.left())]
        first = _firsts(self._table, order)
        again = np.flatnonzero((first >= 0) & (first != np.arange(len(first))))
        self.add("duplicate", again, self._names(first[again], "the same as"))
        order = order[first[order] == order]
        like = near_duplicates(self._table, order, self._config.rules.near_duplicates)
        near = np.flatnonzero(like >= 0)
        self.add("near_duplicate", near, self._names(like[near], "nearly the same as"))

    def add_contaminated(self, benchmarks: BenchmarkIndex | None) -> dict[str, int]:
        if benchmarks is None:
            return {}
        found = dict.fromkeys(benchmarks.benchmarks, 0)
        shared = overlaps(self._table, benchmarks, self._config.decontaminate)
        for row in self.left().tolist():
            overlap = shared[row]
            if overlap is not None:
                self.reasons[row], self.details[row] = "contaminated", overlap.detail
                found[overlap.benchmark] += 1
        return found

    def add_leaks(self) -> Ints:
        """Refuse rows that say train in a held-out group. Returns int64 [N]: 1 for the held-out rows."""
        rows = self.left()
        part = self._table.select(["source", "own_split", "image_keys", "image_hashes", "prompt_key"])
        part = part.take(pa.array(rows))
        fixed = {source.name: source.split for source in self._config.sources}
        own = [
            fixed[name] or split
            for name, split in zip(*(part[c].to_pylist() for c in ("source", "own_split")), strict=True)
        ]
        splits = assign_splits(part["image_keys"], part["image_hashes"], part["prompt_key"], own, self._config.split)
        leaks = rows[splits.leaks]
        self.add("split_leak", leaks, ["says train; shares an image or prompt with held-out rows"] * len(leaks))
        heldout = np.zeros(len(self.reasons), dtype=np.int64)
        heldout[rows] = splits.heldout
        return heldout

    def add_over_caps(self, heldout: Ints) -> Ints:
        """Refuse what is above the caps. Returns int64 [N]: how often an epoch shows each row."""
        rows = self.left()
        over = np.flatnonzero(over_caps(self._table, rows[heldout[rows] == 0], self._config.sources))
        caps = {source.name: source.cap for source in self._config.sources}
        names = self._table["source"].take(pa.array(over)).to_pylist()
        self.add("over_cap", over, [f"source {name!r} has cap={caps[name]}" for name in names])
        rows = self.left()
        shown = np.zeros(len(self.reasons), dtype=np.int64)
        shown[rows] = 1
        train = rows[heldout[rows] == 0]
        shown[train] = repeats(self._table, train, self._config)
        return shown

    def _names(self, rows: Ints, relation: str) -> list[str]:
        named = self._table.select(["source", "id"]).take(pa.array(rows)).to_pylist()
        return [f"{relation} {one['id']!r} of source {one['source']!r}" for one in named]
