"""What rewards cost: seconds of the answer alone, and numbers an item."""

import time
from collections.abc import Sequence

import pytest

from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.errors import CorruptData
from rm_core.scoring.cost import ScoringCost, TimedScores


class Slow:
    def score(self, comparisons: Sequence[EncodedComparison], *, blank: bool = False) -> list[tuple[float, ...]]:
        time.sleep(0.05 if blank else 0.02)
        return [(float(blank),)]


def test_blanked_images_are_no_part_of_the_cost() -> None:
    timed = TimedScores(Slow())
    assert timed.score([]) == [(0.0,)] and timed.score([], blank=True) == [(1.0,)]
    assert timed.seconds >= 0.02
    before = timed.seconds
    timed.score([], blank=True)
    assert timed.seconds == before


def test_a_cost_is_an_items_and_is_read_as_it_was_written() -> None:
    cost = ScoringCost(items=4, written_tokens=10, seconds=2.0)
    assert cost.numbers() == {"written_tokens": 2.5, "item_seconds": 0.5}
    assert ScoringCost.from_json(cost.to_json(), "cost.json") == cost
    with pytest.raises(CorruptData, match=r"'cost\.json' holds no cost of an evaluation.*evaluate again"):
        ScoringCost.from_json({"items": 4}, "cost.json")
