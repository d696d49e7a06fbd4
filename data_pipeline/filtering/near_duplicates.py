"""Rows that are nearly the same as an earlier one: similar prompt, similar responses of equal rank, similar images.

    signatures --equal ones collapse--> one row each --32 bands--> candidates --verify--> pairs --first wins

Candidates come from locality-sensitive hashing (Indyk and Motwani 1998; Leskovec, Rajaraman and Ullman, Mining of
Massive Datasets, 3.4): a band joins two values of the prompt's signature, two of the responses' and 16 bits of the
first image's perceptual hash. Rows whose prompts and responses have similarity J each meet in one of 32 bands with
probability 1 - (1 - J**4)**32: 0.99999 at 0.8, 0.87 at 0.5; where their images' hashes differ, only bands with an
equal piece count, 8 of 32 at worst: 0.985 at 0.8. Candidates are then compared by their whole signatures.

Work is bounded: in a bucket of more than `_WINDOW` + 1 rows, a row meets the first row and, unless that is similar, its
next `_WINDOW` neighbours in an order of content. A million rows with one prompt cost as many comparisons as any other
million. Rows of such buckets go through up to 5 rounds, without the refused ones, until one refuses less than 1 %.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_pipeline.config import NearDuplicateConfig
from data_pipeline.dataset.tables import MINHASH_VALUES
from data_pipeline.filtering.columns import Bools, Ints, Lists, coded_lists, lists, minhashes
from data_pipeline.filtering.images import PIECES, hash_pieces, same_picture
from data_pipeline.hashing import U64, mixed

__all__ = ["near_duplicates"]

_BANDS = 32
_WINDOW = 8
_ROUNDS = 5
_PAIRS_AT_ONCE = 1 << 16  # so that a block of signatures, 8 MiB, stays near the processor

_Signatures = npt.NDArray[np.uint16]


def near_duplicates(table: pa.Table, order: Ints, config: NearDuplicateConfig) -> Ints:
    """int64 [N] the earlier row that a row nearly equals, -1 where there is none.

    A row is refused where it is similar to one that comes earlier in `order` and is not refused itself.

    Args:
        table: rows of `UNIT_ROWS_SCHEMA`.
        order: the rows that take part, in the order in which the first of several wins.
    """
    found = np.full(len(table), -1, dtype=np.int64)
    if config.similarity is None or not len(order):
        return found
    rows = _Rows.read(table, order)
    equal = _first_equal(rows)
    alone = np.where(equal == np.arange(len(order)), -1, equal)
    like, active = alone.copy(), np.flatnonzero(alone < 0)
    rounds: list[Ints] = []
    for _ in range(_ROUNDS):
        pairs, crowded = _similar_pairs(rows, active, config)
        rounds.append(pairs)
        if _refuse(pairs, like) <= len(active) // 100:
            break
        active = crowded[like[crowded] < 0]
    if len(rounds) > 1:  # once more, from the first row on: a round may refuse a row that others were taken to be like
        like = alone.copy()
        _refuse(_sorted(np.concatenate(rounds)), like)
    copies = np.flatnonzero(alone >= 0)
    refused = copies[like[alone[copies]] >= 0]
    like[refused] = like[alone[refused]]  # equal to a row that is like another: so are they
    has = like >= 0
    found[order[has]] = order[like[has]]
    return found


@dataclass(frozen=True, slots=True)
class _Rows:
    """What two rows are compared by; M rows in the order in which the first wins.

    Attributes:
        prompt: uint16 [M, 64] signatures.
        responses: uint16 [M, 64] signatures.
        hashes: perceptual hashes, one a still image or frame of a video; 0 for a flat picture.
        keys: codes of the image files, parallel to `hashes`.
        layout: uint64 [M] equal where two rows may be alike at all: the same number of images, and the same ranks in
            the same order where responses hold images, whose text says too little.
    """

    prompt: _Signatures
    responses: _Signatures
    hashes: Lists
    keys: Lists
    layout: U64

    @classmethod
    def read(cls, table: pa.Table, order: Ints) -> "_Rows":
        return cls(
            minhashes(table["prompt_minhash"])[order],
            minhashes(table["response_minhash"])[order],
            lists(table["image_hashes"]).of_rows(order),
            coded_lists(table["image_keys"])[0].of_rows(order),
            _layouts(table)[order],
        )

    def pictures(self) -> U64:
        """uint64 [items] what says most of each image: its perceptual hash, or its file where it is flat."""
        files = mixed(self.keys.values.astype(np.uint64))
        return np.where(self.hashes.values != 0, self.hashes.values, files)

    def first_pictures(self) -> U64:
        """uint64 [M] that of each row's first image, 0 without."""
        first = np.zeros(len(self.layout), dtype=np.uint64)
        filled = self.hashes.counts > 0
        first[filled] = self.pictures()[self.hashes.starts[:-1][filled]]
        return first


def _layouts(table: pa.Table) -> U64:
    counts = lists(table["image_hashes"]).counts
    spans = lists(table["image_patches"]).counts
    in_responses = np.flatnonzero(spans > lists(table["turn_images"]).reduced(np.add, 0))
    layout = counts.astype(np.uint64)
    known: dict[tuple[int, ...], int] = {}
    for row, ranks in zip(in_responses.tolist(), table["ranks"].take(in_responses).to_pylist(), strict=True):
        layout[row] = (1 << 32) + known.setdefault((int(counts[row]), *ranks), len(known))
    return layout


def _first_equal(rows: _Rows) -> Ints:
    """int64 [M] the first row with the same signatures and pictures, itself in most cases; by a 64-bit hash of them."""
    key = mixed(rows.layout)
    for signatures in (rows.prompt, rows.responses):
        for column in np.ascontiguousarray(signatures).view(np.uint64).T:
            key = mixed(key ^ column)
    places = np.arange(len(rows.hashes.values)) - np.repeat(rows.hashes.starts[:-1], rows.hashes.counts)
    pictures = mixed(rows.pictures() + mixed(places.astype(np.uint64)))
    key += Lists(pictures, rows.hashes.starts).reduced(np.add, 0).astype(np.uint64)
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return first[inverse]


def _similar_pairs(rows: _Rows, active: Ints, config: NearDuplicateConfig) -> tuple[Ints, Ints]:
    """Similar pairs among the `active` rows, and which of these stood in a bucket too full to compare all with all.

    Returns:
        int64 [E, 2] pairs (earlier, later), sorted by later then earlier; int64 rows, ascending.
    """
    crowded = np.zeros(len(rows.layout), dtype=np.bool_)
    found: list[Ints] = []
    band_keys = _BandKeys(rows, active)
    for band in range(_BANDS):
        members, starts = _buckets(band_keys, band)
        if not len(members):
            continue
        sizes = np.diff(starts)
        full = np.repeat(sizes > _WINDOW + 1, sizes)
        crowded[members[full]] = True
        leaders = np.repeat(np.minimum.reduceat(members, starts[:-1]), sizes)
        to_leader = _pairs(leaders[full], members[full])
        similar = _similar(rows, to_leader, config)
        found.append(to_leader[similar])
        done = np.zeros(len(rows.layout), dtype=np.bool_)
        done[to_leader[similar, 1]] = True
        left = ~(full & done[members])
        found.extend(_similar_neighbours(rows, members[left], np.repeat(np.arange(len(sizes)), sizes)[left], config))
    pairs = _sorted(np.concatenate(found)) if found else np.zeros((0, 2), dtype=np.int64)
    return pairs, np.flatnonzero(crowded)


def _sorted(pairs: Ints) -> Ints:
    """Each pair (earlier, later) once, by later then earlier."""
    return np.unique(pairs[:, ::-1], axis=0)[:, ::-1]


def _similar_neighbours(rows: _Rows, members: Ints, buckets: Ints, config: NearDuplicateConfig) -> list[Ints]:
    found = []
    for step in range(1, _WINDOW + 1):
        together = np.flatnonzero(buckets[step:] == buckets[:-step])
        if not len(together):
            break
        pairs = _pairs(members[together], members[together + step])
        found.append(pairs[_similar(rows, pairs, config)])
    return found


class _BandKeys:
    """uint64 keys of the active rows, band by band; rows with an equal one share a bucket."""

    def __init__(self, rows: _Rows, active: Ints) -> None:
        self.active = active
        self._prompt = np.ascontiguousarray(rows.prompt[active]).view(np.uint32)
        self._responses = np.ascontiguousarray(rows.responses[active]).view(np.uint32)
        self._pictures = rows.first_pictures()[active]
        self._layout = mixed(rows.layout[active])

    def of(self, band: int) -> U64:
        texts = (self._prompt[:, band].astype(np.uint64) << np.uint64(32)) | self._responses[:, band]
        return mixed(mixed(texts) ^ self._layout ^ mixed(hash_pieces(self._pictures, band % PIECES)))


def _buckets(keys: _BandKeys, band: int) -> tuple[Ints, Ints]:
    """Rows that share a bucket of `band` with another, bucket by bucket, and where each bucket begins, with the end.

    Inside a bucket, rows that also agree in the next band stand together.
    """
    mine = keys.of(band)
    order = np.argsort(mine)
    same = mine[order][1:] == mine[order][:-1]
    shared = np.unique(np.concatenate((order[1:][same], order[:-1][same])))
    shared = shared[np.lexsort((shared, keys.of((band + 1) % _BANDS)[shared], mine[shared]))]
    changes = np.flatnonzero(np.diff(mine[shared])) + 1
    starts = np.concatenate(([0], changes, [len(shared)])) if len(shared) else np.zeros(1, dtype=np.int64)
    return keys.active[shared], starts


def _pairs(one: Ints, other: Ints) -> Ints:
    """int64 [E, 2] pairs (earlier, later) of two different rows."""
    pairs = np.stack((np.minimum(one, other), np.maximum(one, other)), axis=1)
    return pairs[pairs[:, 0] < pairs[:, 1]]


def _similar(rows: _Rows, pairs: Ints, config: NearDuplicateConfig) -> Bools:
    """Whether prompts, responses and images of each pair are all similar: bool [E]."""
    assert config.similarity is not None
    least = int(np.ceil(config.similarity * MINHASH_VALUES - 1e-9))
    similar = np.zeros(len(pairs), dtype=np.bool_)
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        part = np.arange(start, min(start + _PAIRS_AT_ONCE, len(pairs)))
        part = part[rows.layout[pairs[part, 0]] == rows.layout[pairs[part, 1]]]
        for signatures in (rows.responses, rows.prompt):
            equal = signatures[pairs[part, 0]] == signatures[pairs[part, 1]]
            part = part[np.count_nonzero(equal, axis=1) >= least]
        similar[part[_same_pictures(rows, pairs[part], config.image_distance)]] = True
    return similar


def _same_pictures(rows: _Rows, pairs: Ints, distance: int) -> Bools:
    """Whether every image of one row is that of the other at the same place, bool [E]; both have as many."""
    one, other = pairs[:, 0], pairs[:, 1]
    hashes = (rows.hashes.of_rows(one), rows.hashes.of_rows(other))
    keys = (rows.keys.of_rows(one).values, rows.keys.of_rows(other).values)
    same = same_picture(keys, (hashes[0].values, hashes[1].values), distance)
    return np.asarray(np.bincount(hashes[0].owners[~same], minlength=len(pairs)) == 0)


def _refuse(pairs: Ints, like: Ints) -> int:
    """Write into `like` the earlier row of each pair whose later row is not refused yet and whose earlier one stays.

    Rows are decided in their order, so what became of an earlier row is final before a later one asks.

    Returns:
        How many rows were refused.
    """
    new = 0
    for earlier, later in pairs.tolist():
        if like[later] < 0 and like[earlier] < 0:
            like[later] = earlier
            new += 1
    return new
