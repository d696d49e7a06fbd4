"""Comparisons to smaller or larger ones before anything is read: hard pairs, and videos as their frames."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Part

__all__ = ["extremes", "with_frames"]


def extremes(comparison: Comparison) -> Comparison:
    """The best and the worst response only, the first of equals each: the pair of the largest score gap of a prompt.

    Four completions rated 3, 5, 1, 5 give the pair (5, 1). All of one rank: returned as it is, for `checks` to refuse.
    """
    ranks = [response.rank for response in comparison.responses]
    if len(set(ranks)) < 2:
        return comparison
    best, worst = ranks.index(min(ranks)), ranks.index(max(ranks))
    kept = sorted((best, worst))
    pair = tuple(replace(comparison.responses[place], rank=int(place == worst)) for place in kept)
    reasonings = tuple(
        replace(one, first=kept.index(one.first), second=kept.index(one.second))
        for one in comparison.reasonings
        if {one.first, one.second} == {best, worst}
    )
    return _without_unused_media(replace(comparison, responses=pair, reasonings=reasonings))


def with_frames(comparison: Comparison, frames_of: Callable[[MediaRef], Sequence[MediaRef]]) -> Comparison:
    """Every video replaced by its frames: one slot becomes as many slots in a row.

    Args:
        frames_of: the frames of a video reference, in the order of time.
    """
    if not any(ref.is_video for ref in comparison.media):
        return comparison
    media: list[MediaRef] = []
    places: list[tuple[int, ...]] = []
    for ref in comparison.media:
        shown = tuple(frames_of(ref)) if ref.is_video else (ref,)
        places.append(tuple(range(len(media), len(media) + len(shown))))
        media += shown
    return _renumbered(comparison, tuple(media), places)


def _without_unused_media(comparison: Comparison) -> Comparison:
    used = sorted(set(comparison.image_slots()))
    if len(used) == len(comparison.media) or used[-1:] >= [len(comparison.media)]:
        return comparison  # nothing to do, or slots without images, which `checks` refuses
    new = {old: place for place, old in enumerate(used)}
    places = [(new[old],) if old in new else () for old in range(len(comparison.media))]
    return _renumbered(comparison, tuple(comparison.media[old] for old in used), places)


def _renumbered(comparison: Comparison, media: tuple[MediaRef, ...], places: Sequence[tuple[int, ...]]) -> Comparison:
    """The same texts with `media`, where the slot of old media i becomes the slots `places[i]`."""

    def moved(parts: Sequence[Part]) -> tuple[Part, ...]:
        found: list[Part] = []
        for part in parts:
            if isinstance(part, ImageSlot):
                found += [ImageSlot(new) for new in places[part.index]]
            else:
                found.append(part)
        return tuple(found)

    return replace(
        comparison,
        prompt=tuple(replace(turn, parts=moved(turn.parts)) for turn in comparison.prompt),
        responses=tuple(replace(response, parts=moved(response.parts)) for response in comparison.responses),
        media=media,
    )
