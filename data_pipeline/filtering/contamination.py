"""Rows that a benchmark asks: its prompt, whole or in runs of 13 words, or one of its images.

    benchmarks' signals --from_tables--> BenchmarkIndex --overlaps(table, index, config)--> an Overlap or None a row

A benchmark's responses are not looked at: an answer to a prompt that is never trained on tells nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from data_pipeline.config import DecontaminateConfig
from data_pipeline.filtering.columns import Ints, chunks_of_lists, coded_lists, codes, indices_in, lists
from data_pipeline.filtering.images import similar_hashes
from data_pipeline.hashing import U64

__all__ = ["BenchmarkIndex", "Overlap", "overlaps"]

_PAIRS_AT_ONCE = 1 << 22
_FILTER_BITS = 24
_FILTER_SHIFT = np.uint64(64 - _FILTER_BITS)


@dataclass(frozen=True, slots=True)
class Overlap:
    """What a row shares with a benchmark: the benchmark's name, its item's id, and a sentence."""

    benchmark: str
    item: str
    detail: str


@dataclass(frozen=True, slots=True)
class BenchmarkIndex:
    """All items of all benchmarks, I in number, in the order given.

    Attributes:
        benchmarks: I names.
        items: I ids.
        ngrams: uint64, ascending: hashes of runs of 13 words of the prompts; one for each prompt that has the run.
        ngram_items: int64, parallel to `ngrams`: the first item with that prompt.
        image_keys: sha256 of the images, sorted and distinct.
        image_key_items: int64, parallel to `image_keys`: the first item with the image.
        image_hashes: uint64 perceptual hashes of the images, distinct and without 0, by first item.
        image_hash_items: int64, parallel to `image_hashes`.
        prompt_keys: of the items without images, sorted and distinct.
        prompt_key_items: int64, parallel to `prompt_keys`: the first item with that prompt.
    """

    benchmarks: list[str]
    items: list[str]
    ngrams: U64
    ngram_items: Ints
    image_keys: pa.StringArray
    image_key_items: Ints
    image_hashes: U64
    image_hash_items: Ints
    prompt_keys: pa.StringArray
    prompt_key_items: Ints

    @classmethod
    def from_tables(cls, tables: Sequence[tuple[str, pa.Table]]) -> "BenchmarkIndex":
        """The index of benchmarks, each a name and its items' rows in `UNIT_ROWS_SCHEMA`.

        Raises:
            ValueError: there is no table.
        """
        if not tables:
            raise ValueError("no benchmark: without one there is nothing to compare with")
        columns = ["id", "prompt_key", "prompt_ngrams", "image_keys", "image_hashes"]
        table = pa.concat_tables([one.select(columns) for _, one in tables])
        prompts, prompt_names = codes(table["prompt_key"])
        first_of_prompt = _firsts(prompts, len(prompt_names))
        ngrams, ngram_items = _ngrams_of(table, first_of_prompt)
        keys, key_names = coded_lists(table["image_keys"])
        hashes = lists(table["image_hashes"])
        distinct, first_span = np.unique(hashes.values[hashes.values != 0], return_index=True)
        by_item = np.argsort(first_span)
        bare = np.flatnonzero(keys.counts == 0)
        bare_prompts, bare_names = codes(table["prompt_key"].take(pa.array(bare)))
        return cls(
            benchmarks=[name for name, one in tables for _ in range(len(one))],
            items=table["id"].to_pylist(),
            ngrams=ngrams,
            ngram_items=ngram_items,
            image_keys=key_names,
            image_key_items=keys.owners[_firsts(keys.values, len(key_names))],
            image_hashes=distinct[by_item].astype(np.uint64),
            image_hash_items=hashes.owners[hashes.values != 0][first_span[by_item]],
            prompt_keys=bare_names,
            prompt_key_items=bare[_firsts(bare_prompts, len(bare_names))],
        )

    def overlap(self, item: int, shared: str) -> Overlap:
        """What a row shares with an item, in words."""
        benchmark, name = self.benchmarks[item], self.items[item]
        return Overlap(benchmark, name, f"{shared} of item {name!r} of benchmark {benchmark!r}")


def overlaps(table: pa.Table, index: BenchmarkIndex, config: DecontaminateConfig) -> list[Overlap | None]:
    """For each row of `table` the first of these that holds, or None.

    1. one of its images is a benchmark's: the same file, or perceptual hashes within `config.image_distance` bits;
    2. neither has an image and their prompts are the same words;
    3. its prompt shares `config.shared_ngrams` or more distinct runs of 13 words with one benchmark prompt.
    """
    found: list[Overlap | None] = [None] * len(table)
    runs, run_items = _shared_runs(table, index, config.shared_ngrams)
    for row in np.flatnonzero(run_items >= 0).tolist():
        found[row] = index.overlap(int(run_items[row]), f"{runs[row]} runs of 13 words in the prompt")
    same = _same_prompts(table, index)
    for row in np.flatnonzero(same >= 0).tolist():
        found[row] = index.overlap(int(same[row]), "the prompt")
    pictures = _same_images(table, index, config.image_distance)
    for row in np.flatnonzero(pictures >= 0).tolist():
        found[row] = index.overlap(int(pictures[row]), "an image")
    return found


def _firsts(values: Ints, count: int) -> Ints:
    """int64 [count] the first place of each of the codes 0 ... count - 1."""
    first = np.zeros(count, dtype=np.int64)
    first[values[::-1]] = np.arange(len(values))[::-1]
    return first


def _ngrams_of(table: pa.Table, rows: Ints) -> tuple[U64, Ints]:
    """The n-grams of those rows, ascending, and the row of each."""
    all_rows = lists(table["prompt_ngrams"])
    chosen = all_rows.of_rows(np.sort(rows))
    order = np.argsort(chosen.values, kind="stable")
    return chosen.values[order].astype(np.uint64), np.sort(rows)[chosen.owners[order]]


def _shared_runs(table: pa.Table, index: BenchmarkIndex, least: int) -> tuple[Ints, Ints]:
    """Most runs that a row shares with one item, int64 [N], and that item; -1 where it shares fewer than `least`."""
    counts, items = [], []
    # A table of the first 24 bits sorts out nearly all runs at a tenth of the cost of looking each of them up.
    known = np.zeros(1 << _FILTER_BITS, dtype=np.bool_)
    known[index.ngrams >> _FILTER_SHIFT] = True
    for chunk in chunks_of_lists(table["prompt_ngrams"]):
        hit = np.flatnonzero(known[chunk.values >> _FILTER_SHIFT])
        low = np.searchsorted(index.ngrams, chunk.values[hit], side="left")
        high = np.searchsorted(index.ngrams, chunk.values[hit], side="right")
        hit, low, high = hit[high > low], low[high > low], high[high > low]
        most = np.zeros(len(chunk.starts) - 1, dtype=np.int64)
        item = np.full(len(most), -1, dtype=np.int64)
        owners = chunk.owners[hit]
        enough = np.bincount(owners, minlength=len(most)) >= least
        owners, low, high = owners[enough[owners]], low[enough[owners]], high[enough[owners]]
        for part in _parts(owners, high - low):
            _count_pairs(owners[part], low[part], high[part], index, most, item)
        counts.append(most)
        items.append(np.where(most >= least, item, -1))
    empty = np.zeros(0, dtype=np.int64)
    return np.concatenate([empty, *counts]), np.concatenate([empty, *items])


def _count_pairs(owners: Ints, low: Ints, high: Ints, index: BenchmarkIndex, most: Ints, item: Ints) -> None:
    """Write for each owner the item that most of its runs lead to (the first of equals) and their number."""
    spans = high - low
    ends = np.cumsum(spans)
    pairs = np.arange(ends[-1]) - np.repeat(ends - spans - low, spans)
    codes_of_pairs = np.repeat(owners, spans) * len(index.items) + index.ngram_items[pairs]
    pair, count = np.unique(codes_of_pairs, return_counts=True)
    owner, mate = pair // len(index.items), pair % len(index.items)
    order = np.lexsort((mate, -count, owner))
    best = order[np.unique(owner[order], return_index=True)[1]]
    most[owner[best]], item[owner[best]] = count[best], mate[best]


def _parts(owners: Ints, spans: Ints) -> list[Ints]:
    """Places of `owners` in groups of about `_PAIRS_AT_ONCE` pairs, no owner in two groups."""
    first = np.flatnonzero(np.diff(owners, prepend=-1))
    groups = np.cumsum(spans)[first] // _PAIRS_AT_ONCE
    parts = np.split(np.arange(len(owners)), first[1:][np.diff(groups) > 0])
    return [part for part in parts if len(part)]


def _same_prompts(table: pa.Table, index: BenchmarkIndex) -> Ints:
    place = indices_in(table["prompt_key"], index.prompt_keys)
    bare = lists(table["image_hashes"]).counts == 0
    found = np.full(len(place), -1, dtype=np.int64)
    hit = bare & (place >= 0)
    found[hit] = index.prompt_key_items[place[hit]]
    return found


def _same_images(table: pa.Table, index: BenchmarkIndex, distance: int) -> Ints:
    """int64 [N] the item that has an image of the row: of the row's first image that any item has."""
    keys, names = coded_lists(table["image_keys"])
    hashes = lists(table["image_hashes"])
    item_of_key = np.full(len(names), -1, dtype=np.int64)
    known = indices_in(pa.chunked_array([names]), index.image_keys)
    item_of_key[known >= 0] = index.image_key_items[known[known >= 0]]
    distinct, inverse = np.unique(hashes.values, return_inverse=True)
    similar = similar_hashes(distinct, index.image_hashes, distance)
    item_of_hash = np.full(len(distinct), -1, dtype=np.int64)
    item_of_hash[similar >= 0] = index.image_hash_items[similar[similar >= 0]]
    by_key, by_hash = item_of_key[keys.values], item_of_hash[inverse]
    item = np.where(by_key >= 0, by_key, by_hash)
    found = np.full(len(table), -1, dtype=np.int64)
    hit = np.flatnonzero(item >= 0)[::-1]
    found[keys.owners[hit]] = item[hit]
    return found
