"""Which image files show the same picture: equal bytes, or perceptual hashes that differ in a few bits."""

import numpy as np
import numpy.typing as npt

from data_pipeline.filtering.columns import Bools, Ints
from data_pipeline.hashing import U64

__all__ = ["PIECES", "hash_pieces", "same_picture", "similar_hashes"]

PIECES = 4
"""Pieces of 16 bits in a perceptual hash. Two hashes that differ in at most 3 bits have one piece in common."""

_PAIRS_AT_ONCE = 1 << 20


def hash_pieces(hashes: U64, piece: int) -> U64:
    """uint64 [N] the 16 bits of one piece, 0 to 3."""
    return (hashes >> np.uint64(16 * piece)) & np.uint64(0xFFFF)


def same_picture(keys: tuple[Ints, Ints], hashes: tuple[U64, U64], distance: int) -> Bools:
    """Whether two images are one file, or neither is flat and their hashes differ in at most `distance` bits: bool [N].

    Args:
        keys: codes of the files, one array for each of the two images.
        hashes: perceptual hashes, likewise; 0 is a flat picture, of which only the file says anything.
    """
    near = np.bitwise_count(hashes[0] ^ hashes[1]) <= distance
    return np.asarray((keys[0] == keys[1]) | (near & (hashes[0] != 0) & (hashes[1] != 0)))


def similar_hashes(hashes: U64, known: U64, distance: int) -> Ints:
    """int64 [N] place in `known` of the nearest hash within `distance` bits (the first of equally near); -1: none.

    Only hashes with an equal piece are compared, which finds all within 3 bits (pigeonhole; Manku, Jain and Das Sarma,
    Detecting Near-Duplicates for Web Crawling, 2007).
    """
    best = np.full(len(hashes), -1, dtype=np.int64)
    bits = np.full(len(hashes), distance + 1, dtype=np.int64)
    for piece in range(PIECES):
        known_pieces = hash_pieces(known, piece)
        order = np.argsort(known_pieces, kind="stable")
        sorted_pieces = known_pieces[order]
        mine = hash_pieces(hashes, piece)
        low = np.searchsorted(sorted_pieces, mine, side="left")
        high = np.searchsorted(sorted_pieces, mine, side="right")
        for rows in _slices(high - low):
            counts = (high - low)[rows]
            mates = order[_ranges(low[rows], counts)]
            owners = np.repeat(rows, counts)
            _take_nearest(owners, mates, np.bitwise_count(hashes[owners] ^ known[mates]), best, bits)
    return np.where(hashes != 0, best, -1)


def _take_nearest(owners: Ints, mates: Ints, distances: npt.NDArray[np.uint8], best: Ints, bits: Ints) -> None:
    """Write each owner's nearest mate into `best` and `bits`, where it is nearer, or as near and earlier."""
    kept = np.flatnonzero(distances <= bits[owners])
    order = kept[np.lexsort((mates[kept], distances[kept], owners[kept]))]
    first = order[np.unique(owners[order], return_index=True)[1]]
    owner, mate, distance = owners[first], mates[first], distances[first].astype(np.int64)
    nearer = (distance < bits[owner]) | ((distance == bits[owner]) & (best[owner] >= 0) & (mate < best[owner]))
    best[owner[nearer]], bits[owner[nearer]] = mate[nearer], distance[nearer]


def _slices(counts: Ints) -> list[Ints]:
    """Rows with a mate, in groups of about `_PAIRS_AT_ONCE` pairs."""
    rows = np.flatnonzero(counts)
    groups = np.cumsum(counts[rows]) // _PAIRS_AT_ONCE
    return [group for group in np.split(rows, np.flatnonzero(np.diff(groups)) + 1) if len(group)]


def _ranges(starts: Ints, counts: Ints) -> Ints:
    """The ranges ``start ... start + count - 1`` one after another."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts - starts, counts)
