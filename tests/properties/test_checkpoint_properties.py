"""Ranges: however parameters are shared out, every element is kept once and found again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rm_core.checkpoints.fragments import even_share, sources_of
from rm_core.checkpoints.store import Retention


@given(st.integers(0, 1000), st.integers(1, 8))
def test_shares_follow_each_other_and_differ_by_one_at_most(numel: int, world_size: int) -> None:
    shares = [even_share(numel, rank, world_size) for rank in range(world_size)]
    ends = [start + count for start, count in shares]
    assert [start for start, _ in shares] == [0, *ends[:-1]] and ends[-1] == numel
    assert max(count for _, count in shares) - min(count for _, count in shares) <= 1


@given(st.data())
def test_any_range_is_found_in_any_cutting(data: st.DataObject) -> None:
    numel = data.draw(st.integers(1, 200))
    cuts = sorted(data.draw(st.sets(st.integers(1, numel), max_size=8)) | {numel})
    ranks = data.draw(st.permutations(range(len(cuts))))
    starts = [0, *cuts[:-1]]
    held = [(start, end - start, rank) for start, end, rank in zip(starts, cuts, ranks, strict=True)]
    start = data.draw(st.integers(0, numel))
    count = data.draw(st.integers(0, numel - start))
    begins = {rank: begin for begin, _, rank in held}
    found = sources_of(held, start, count)
    elements = [(one.at + i, begins[one.rank] + one.offset + i) for one in found for i in range(one.numel)]
    assert elements == [(place, start + place) for place in range(count)]


@given(st.integers(1, 50), st.integers(0, 8))
def test_a_gap_is_named(numel: int, gap: int) -> None:
    held = [(0, gap, 0), (gap + 1, numel, 1)]
    with pytest.raises(ValueError, match=f"no rank keeps element {gap}$"):
        sources_of(held, 0, gap + numel + 1)


SCORES = st.dictionaries(st.integers(0, 99), st.none() | st.floats(0, 9))


@given(SCORES, st.integers(1, 4), st.integers(0, 3), st.integers(0, 9))
def test_retention_keeps_the_newest_and_the_best_and_no_rule_takes_from_another(
    scores: dict[int, float | None], last: int, best: int, every: int
) -> None:
    removed = set(Retention(last=last, best=best, every=every).removed(scores))
    kept = scores.keys() - removed
    assert set(sorted(scores)[-last:]) <= kept
    assert not every or {step for step in scores if step % every == 0} <= kept
    judged = sorted(score for score in scores.values() if score is not None)
    assert sorted(score for step, score in scores.items() if step in kept and score is not None)[:best] == judged[:best]
    assert removed <= set(Retention(last=last).removed(scores))
