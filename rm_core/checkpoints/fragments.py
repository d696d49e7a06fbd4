"""Ranges of flat parameters: who keeps which part, and from whose files a range is joined."""

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Fragment", "Source", "even_share", "sources_of"]


class Fragment(NamedTuple):
    """Elements `start` to `start` + `numel` of the flat parameter `name`."""

    name: str
    start: int
    numel: int


class Source(NamedTuple):
    """A part of a wanted range: `numel` elements of rank `rank`'s fragment from `offset` on, for place `at`."""

    rank: int
    offset: int
    at: int
    numel: int


def even_share(numel: int, rank: int, world_size: int) -> tuple[int, int]:
    """(start, count) of the share of `rank`; shares differ by one element at most. 10 over 4: 3, 3, 2, 2."""
    size, left = divmod(numel, world_size)
    return rank * size + min(rank, left), size + (rank < left)


def sources_of(held: Sequence[tuple[int, int, int]], start: int, numel: int) -> list[Source]:
    """Where the elements `start` to `start` + `numel` come from.

    Args:
        held: (start, numel, rank) of each fragment of the parameter, sorted, without overlaps.

    Raises:
        ValueError: nobody keeps some of them; the message names the first.
    """
    found, wanted = [], start
    for begin, count, rank in held:
        if begin + count <= wanted or wanted >= start + numel:
            continue
        if begin > wanted:
            break
        taken = min(begin + count, start + numel) - wanted
        found.append(Source(rank, wanted - begin, wanted - start, taken))
        wanted += taken
    if wanted < start + numel:
        raise ValueError(f"no rank keeps element {wanted}")
    return found
