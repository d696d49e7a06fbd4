"""Rewards of many answers from some of their pairs: each round halves those that are left, K - 1 pairs in all.

    4 answers, drawn   a b c d     round 1: a against b, c against d     round 2: the two winners
    3 answers          a b c       round 1: a against b, c waits         round 2: the winner against c

A reward is that of whoever beat the answer, less the margin: the fit by least squares to the pairs that were asked
about, which is exact, since they are a tree. So the winner of the last round has the largest one, of two answers the
rewards are those of all pairs, and a tie gives equal rewards.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace

from data_pipeline.encoding.encoded import EncodedComparison, spans_of_parts
from rm_core.scoring.scorer import Scorer

__all__ = ["Bracket", "TournamentScorer", "drawn_order", "pair_of"]


class Bracket:
    """A knock-out of answers.

    Args:
        order: their places, as drawn.
    """

    def __init__(self, order: Sequence[int]) -> None:
        self._left = list(order)
        self._beaten: list[tuple[int, int, float]] = []

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Who meets whom in the round that comes next; none after the last one. An odd one out waits."""
        return list(zip(self._left[::2], self._left[1::2], strict=False))

    def settle(self, values: Sequence[float]) -> None:
        """End a round.

        Args:
            values: of each of its `pairs`, by how much the first is better; of a tie the first goes on.
        """
        stays = []
        for (first, second), value in zip(self.pairs, values, strict=True):
            winner, loser = (second, first) if value < 0 else (first, second)
            self._beaten.append((winner, loser, abs(value)))
            stays.append(winner)
        self._left = stays + (self._left[-1:] if len(self._left) % 2 else [])

    def rewards(self) -> tuple[float, ...]:
        """One an answer, in the order of their places, once no pair is left; they sum to 0."""
        found = {self._left[0]: 0.0}
        for winner, loser, margin in reversed(self._beaten):
            found[loser] = found[winner] - margin
        mean = sum(found.values()) / len(found)
        return tuple(found[place] - mean for place in sorted(found))


def drawn_order(item: EncodedComparison, pads: Collection[int]) -> list[int]:
    """The places of its answers, drawn from what prompt and answers are: a record's own order, which may have the best
    one first, plays no part.

    Args:
        pads: tokens of pictures and of videos.
    """
    _, *spans = spans_of_parts(item, pads)
    begun = hashlib.sha256(item.prefix_ids.tobytes())
    drawn = []
    for ids, shown in zip(item.response_ids, spans, strict=True):
        digest = begun.copy()
        digest.update(ids.tobytes() + repr(shown).encode())
        drawn.append(digest.digest())
    return sorted(range(len(drawn)), key=drawn.__getitem__)


def pair_of(item: EncodedComparison, places: tuple[int, int], pads: Collection[int]) -> EncodedComparison:
    """The Comparison with two of its answers alone, in this order."""
    in_prompt, *spans = spans_of_parts(item, pads)
    return replace(
        item,
        response_ids=tuple(item.response_ids[place] for place in places),
        ranks=tuple(item.ranks[place] for place in places),
        scores=tuple(item.scores[place] for place in places),
        images=(*in_prompt, *(span for place in places for span in spans[place])),
        reasonings=(),
    )


class TournamentScorer:
    """As `Scorer`, of a judge that gives its verdict at once.

    Args:
        scorer: the judge, which is asked about two answers at a time.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        row_format = scorer.model.row_format
        self._pads = (row_format.image_token, row_format.video_token)

    def score(self, comparisons: Sequence[EncodedComparison], *, blank: bool = False) -> list[tuple[float, ...]]:
        """K rewards for each Comparison, in the given order; a round of all of them shares rows.

        Raises:
            RecipeError: as `Scorer.score`.
        """
        if alone := [item for item in comparisons if len(item.response_ids) < 2]:
            self._scorer.score(alone)  # which says what is wrong with it
        brackets = [Bracket(drawn_order(item, self._pads)) for item in comparisons]
        while asked := [(place, pair) for place, one in enumerate(brackets) for pair in one.pairs]:
            items = [pair_of(comparisons[place], pair, self._pads) for place, pair in asked]
            values = iter([first - second for first, second in self._scorer.score(items, blank=blank)])
            for bracket in brackets:
                bracket.settle([next(values) for _ in bracket.pairs])
        return [bracket.rewards() for bracket in brackets]
