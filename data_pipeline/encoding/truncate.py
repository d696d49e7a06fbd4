"""What is cut of a Comparison that is too long: oldest turns, then ends of responses, never part of an image.

    [system turn | turn 1 | ... | turn n | answer header] [response 1] ... [response K]

`cut` reads lengths only. Its outcome is two things: how many of the oldest turns go (the system turn stays), and how
many tokens of every response stay, the closing one among them. Shards hold all tokens; readers apply the cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["POLICIES", "Cut", "cut"]

POLICIES = ("nothing", "turns", "responses")
"""What `RulesConfig.truncate` may say."""

_LEAST_RESPONSE = 2  # a token of text and the closing one


@dataclass(frozen=True, slots=True)
class Cut:
    """What is left of a Comparison.

    Attributes:
        dropped_turns: oldest turns cut away, counted from the first after the system turn.
        response_keep: tokens of each response that stay, with the closing one: the first ones, and the last.
    """

    dropped_turns: int
    response_keep: tuple[int, ...]


def cut(
    turn_lengths: Sequence[int],
    turn_images: Sequence[int],
    response_lengths: Sequence[int],
    response_floors: Sequence[int],
    max_tokens: int,
    policy: str,
) -> Cut | None:
    """The least cut after which prefix and longest response fit into `max_tokens`; None: they don't, whatever is cut.

    Three turns of 40 tokens, a system turn of 20 and a header of 3, with responses of 10 and 30 tokens:

        >>> cut([20, 40, 40, 40, 3], [0] * 5, [10, 30], [0, 0], 100, "turns")
        Cut(dropped_turns=2, response_keep=(10, 30))
        >>> cut([20, 40, 40, 40, 3], [0] * 5, [10, 30], [0, 0], 80, "responses")
        Cut(dropped_turns=2, response_keep=(10, 17))

    Turns alternate between user and assistant and the last one asks: turns are dropped so that an odd number is left,
    which begins with a user's. The last turn never goes; a turn with an image ends the dropping, since what is dropped
    is one run from the front. Responses are cut only under policy ``responses`` and when no more turns can go; each one
    longer than the room left is cut to it, to no less than its floor and no less than one token of text.

    Args:
        turn_lengths: tokens of each segment [system turn, turn 1, ..., turn n, answer header].
        turn_images: image spans in each segment.
        response_lengths: tokens of each response, with the closing one.
        response_floors: tokens of each response that have to stay so that no image span is cut; 0 without images.
        max_tokens: most tokens of prefix and longest response.
        policy: ``nothing``, ``turns`` or ``responses``.

    Raises:
        ValueError: `policy` is none of these.
    """
    if policy not in POLICIES:
        raise ValueError(f"policy {policy!r}, known: {', '.join(POLICIES)}")
    whole = tuple(response_lengths)
    prefix, longest = sum(turn_lengths), max(whole)
    if prefix + longest <= max_tokens:
        return Cut(0, whole)
    if policy == "nothing":
        return None
    dropped = 0
    for allowed in _droppable(turn_images):
        dropped = allowed
        left = prefix - sum(turn_lengths[1 : 1 + dropped])
        if left + longest <= max_tokens:
            return Cut(dropped, whole)
    if policy == "turns":
        return None
    room = max_tokens - prefix + sum(turn_lengths[1 : 1 + dropped])
    if any(
        length > room and room < max(floor, _LEAST_RESPONSE)
        for length, floor in zip(whole, response_floors, strict=True)
    ):
        return None
    return Cut(dropped, tuple(min(length, room) for length in whole))


def _droppable(turn_images: Sequence[int]) -> list[int]:
    """The numbers of oldest turns that may go, fewest first."""
    num_turns = len(turn_images) - 2
    free = 0
    while free < num_turns - 1 and not turn_images[1 + free]:
        free += 1
    return [dropped for dropped in range(1, free + 1) if (num_turns - dropped) % 2]
