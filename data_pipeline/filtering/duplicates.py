"""Rows with the same content again; and the order in which the first of several wins."""

import numpy as np
import pyarrow as pa

from data_pipeline.filtering.columns import Ints, codes, numbers, places

__all__ = ["canonical_order", "firsts"]

_SIDES = ("heldout", "train", "")


def canonical_order(table: pa.Table, source_names: list[str]) -> Ints:
    """int64 [N] rows in the order in which the first of several wins.

    By the source's place in `source_names`, then by content, so that files and rows may come in any order. Records of
    one content in one source: first one that fixes its side (held out before train), then the most repeated file, then
    the first row.
    """
    keys, _ = codes(table["content_key"])
    side = places(table["own_split"], pa.array(_SIDES))
    repeat = -numbers(table["file_repeat"])
    return np.lexsort((repeat, side, keys, places(table["source"], pa.array(source_names, pa.string()))))


def firsts(table: pa.Table, order: Ints) -> Ints:
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
