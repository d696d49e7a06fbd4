"""A reward model as RL asks it: groups of answers to one prompt -> rewards, spread and odds; loaded, or behind HTTP.

What the reward model refuses (too long for it, nothing but spaces) has no reward, and never one that is made up.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Protocol

from data_pipeline.errors import RecordError, UserError
from rm_core.rl.prompts import Turns
from rm_core.serving.rows import ReadRow
from rm_core.serving.served_scorer import ServedScorer

__all__ = [
    "AsksServer",
    "Group",
    "LoadedScores",
    "Row",
    "RowReward",
    "RowScorer",
    "ServerScores",
    "pair_odds",
    "rewards",
]

Row = Mapping[str, Any]
"""``{"prompt": turns, "responses": texts, "images": files or None}``."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Answers to one prompt."""

    turns: Turns
    images: Sequence[bytes]
    answers: Sequence[str]

    def row(self, places: Sequence[int]) -> Row:
        """Some of the answers, as a row to score."""
        responses = [self.answers[place] for place in places]
        return {"prompt": self.turns, "responses": responses, "images": list(self.images) or None}


@dataclass(frozen=True, kw_only=True)
class RowReward:
    """What a row got; None for it all where the model refuses it."""

    rewards: Sequence[float]
    spread: Sequence[float]


class RowScorer(Protocol):
    """Anything that scores rows."""

    def score(self, rows: Sequence[Row]) -> list[RowReward | None]:
        """One result a row, in order; None: the model refuses that row."""
        ...


class LoadedScores:
    """A reward model in this process. Rows about one prompt are computed together, the prompt once."""

    def __init__(self, scorer: ServedScorer) -> None:
        self._scorer = scorer

    def score(self, rows: Sequence[Row]) -> list[RowReward | None]:
        """As `RowScorer`."""
        read: list[ReadRow | None] = [self._read(row) for row in rows]
        given = iter(self._scorer.score_read([one for one in read if one is not None]))
        found = [None if one is None else next(given) for one in read]
        return [None if one is None else RowReward(rewards=one.rewards, spread=one.spread) for one in found]

    def _read(self, row: Row) -> ReadRow | None:
        try:
            return self._scorer.write(self._scorer.read(row)).checked()
        except RecordError:
            return None


class AsksServer(Protocol):
    """What is asked of a client of `basereward serve`."""

    def score(self, prompt: Any, responses: Sequence[str], images: Any = None) -> Any:
        """An object with ``rewards`` and ``spread``."""
        ...


class ServerScores:
    """A reward model behind HTTP; rows are asked for side by side.

    Args:
        client: waits for a server that is busy, and raises where there is no answer.
        refusal: what it raises for a row that can't be scored.
        at_once: requests under way.
    """

    def __init__(self, client: AsksServer, refusal: type[UserError], at_once: int = 16) -> None:
        self._client = client
        self._refusal = refusal
        self._pool = ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="rewards")

    def score(self, rows: Sequence[Row]) -> list[RowReward | None]:
        """As `RowScorer`.

        Raises:
            UserError: the token is wrong, or the address is none of a server.
            Unavailable, RunError: there is no answer.
        """
        return list(self._pool.map(self._one, rows))

    def _one(self, row: Row) -> RowReward | None:
        try:
            found = self._client.score(row["prompt"], row["responses"], row["images"])
        except self._refusal:
            return None
        return RowReward(rewards=found.rewards, spread=found.spread)


def rewards(scorer: RowScorer, groups: Sequence[Group]) -> list[list[RowReward | None]]:
    """Of each group, each answer's own reward and spread; None: refused.

    A group is one row; where the model refuses it, its answers are asked about one by one.
    """
    places = [[place for place, text in enumerate(group.answers) if text.strip()] for group in groups]
    whole = scorer.score([group.row(own) for group, own in zip(groups, places, strict=True) if own])
    found: list[list[RowReward | None]] = [[None] * len(group.answers) for group in groups]
    single: list[tuple[int, int]] = []
    given = iter(whole)
    for number, own in enumerate(places):
        scored = next(given) if own else None
        if own and scored is None:
            single += [(number, place) for place in own]
        elif scored is not None:
            for place, reward, spread in zip(own, scored.rewards, scored.spread, strict=True):
                found[number][place] = RowReward(rewards=[reward], spread=[spread])
    for (number, place), alone in zip(
        single, scorer.score([groups[number].row([place]) for number, place in single]), strict=True
    ):
        found[number][place] = alone
    return found


def pair_odds(
    scorer: RowScorer, groups: Sequence[Group], probability: Callable[[float], float]
) -> list[list[float | None]]:
    """Of each group, for each answer the sum over all others of the probability that it is the better one.

    Of 8 answers 28 pairs are asked about, by a judge in both orders: 56 questions. An answer that the model refuses
    beside every other one has None; one that is refused beside some counts as even with those.

    Args:
        probability: of a difference of two rewards, that the first is better.
    """
    pairs = [
        (number, first, second)
        for number, group in enumerate(groups)
        for first, second in combinations([p for p, text in enumerate(group.answers) if text.strip()], 2)
    ]
    given = scorer.score([groups[number].row([first, second]) for number, first, second in pairs])
    sums = [[0.0] * len(group.answers) for group in groups]
    asked = [[0] * len(group.answers) for group in groups]
    for (number, first, second), row in zip(pairs, given, strict=True):
        if row is None:
            share = 0.5
        else:
            share = probability(row.rewards[0] - row.rewards[1])
            asked[number][first] += 1
            asked[number][second] += 1
        sums[number][first] += share
        sums[number][second] += 1.0 - share
    return [
        [total if count else None for total, count in zip(own, counts, strict=True)]
        for own, counts in zip(sums, asked, strict=True)
    ]
