"""What filtering promises of any rows: no leaks, no dependence on order or units, no rule that gives a row back."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from filter_toys import row, table
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data_pipeline.config import (
    MixtureConfig,
    NearDuplicateConfig,
    PreprocessConfig,
    RulesConfig,
    SourceConfig,
    SplitConfig,
)
from data_pipeline.filtering.apply import FilterResult, apply_filters, canonical_order
from data_pipeline.filtering.contamination import BenchmarkIndex
from data_pipeline.filtering.near_duplicates import near_duplicates

Row = dict[str, Any]
few = settings(max_examples=40)
"""Each example filters up to 14 rows several times."""

PICTURES = st.sampled_from([("a", 1 << 40), ("b", 1 << 40 | 1), ("c", 7 << 20), ("d", 0), ("e", 0), ("f", 7 << 20)])
PROMPTS = st.sampled_from(
    ["What is it?", "What is it", "Who is it?", "Where is the bus now, and since when is it there?"]
)
ANSWERS = st.sampled_from([("A bus.", "A dog."), ("A bus", "A dog"), ("A dog.", "A bus."), ("x", "A very long answer")])
ROWS = st.lists(
    st.builds(
        row,
        PROMPTS,
        ANSWERS,
        st.lists(PICTURES, max_size=3),
        source=st.sampled_from(["s", "t"]),
        own_split=st.sampled_from(["", "", "", "train", "heldout"]),
        file_repeat=st.sampled_from([1.0, 2.5]),
        turn_lengths=st.sampled_from([[10, 20, 3], [10, 90, 3]]),
    ),
    max_size=14,
)
BENCHMARKS = BenchmarkIndex.from_tables(
    [("bench", table([row("Who is it?"), row("Unlike.", images=[("c", 7 << 20)])]))]
)
FULL = PreprocessConfig(
    sources=[SourceConfig(name="s", path="s", cap=3, repeat=1.5), SourceConfig(name="t", path="t", repeat=0.5)],
    rules=RulesConfig(max_tokens=80, near_duplicates=NearDuplicateConfig(similarity=0.7)),
    split=SplitConfig(heldout_fraction=0.4),
)
MANY = table([row() | {"content_key": f"{i:x}", "prompt_key": f"{i}"} for i in range(300)])
PLAIN = replace(FULL, rules=RulesConfig(), sources=[SourceConfig(name="s", path="s"), SourceConfig(name="t", path="t")])


def outcome(rows: list[Row], found: FilterResult) -> list[tuple[Any, ...]]:
    """What was decided, by content: rows of one source with one content are told apart by nothing."""
    return sorted(
        (one["source"], one["content_key"], reason, split, int(times))
        for one, reason, split, times in zip(rows, found.reasons, found.splits, found.repeats, strict=True)
    )


def same_layout(rows: list[Row]) -> list[Row]:
    """Rows of one content are as long as each other, as they are in real tables."""
    lengths = {one["content_key"]: one["turn_lengths"] for one in rows}
    return [one | {"turn_lengths": lengths[one["content_key"]]} for one in rows]


@few
@given(ROWS, st.sampled_from([0.0, 0.3, 0.7, 1.0]), st.integers(0, 5))
def test_no_image_and_no_text_prompt_is_in_two_splits(rows: list[Row], fraction: float, seed: int) -> None:
    config = replace(PLAIN, split=SplitConfig(heldout_fraction=fraction, seed=seed))
    found = apply_filters(table(rows), config, None)
    splits: dict[Any, set[str]] = {}
    for one, split in zip(rows, found.splits, strict=True):
        tokens = [*one["image_keys"], *(h for h in one["image_hashes"] if h)] or [one["prompt_key"]]
        for token in tokens:
            splits.setdefault(token, set()).add(split)
    assert all(len(found - {""}) <= 1 for found in splits.values())
    for one, reason, split in zip(rows, found.reasons, found.splits, strict=True):
        assert (split == "") == (reason != "")
        if one["own_split"] and not reason:
            assert split == one["own_split"]


@few
@given(ROWS, st.randoms(use_true_random=False))
def test_filters_do_not_depend_on_the_order_of_rows(rows: list[Row], random: Any) -> None:
    rows = same_layout(rows)
    shuffled = rows.copy()
    random.shuffle(shuffled)
    one, other = (apply_filters(table(some), FULL, BENCHMARKS) for some in (rows, shuffled))
    assert outcome(rows, one) == outcome(shuffled, other)


@few
@given(ROWS, st.integers(1, 5))
def test_filters_do_not_depend_on_how_rows_were_cut_into_units(rows: list[Row], rows_per_unit: int) -> None:
    whole = table(rows)
    parts = pa.concat_tables([whole.slice(i, rows_per_unit) for i in range(0, len(rows), rows_per_unit)] or [whole])
    one, other = (apply_filters(some, FULL, BENCHMARKS) for some in (whole, parts))
    assert (one.reasons, one.details, one.splits) == (other.reasons, other.details, other.splits)
    assert np.array_equal(one.repeats, other.repeats)


@few
@given(
    ROWS,
    st.sampled_from(
        [
            RulesConfig(max_tokens=80),
            RulesConfig(max_tokens=80, truncate="responses"),
            RulesConfig(min_response_chars=2),
            RulesConfig(max_response_chars=8),
            RulesConfig(max_prompt_chars=15),
            RulesConfig(languages=["en"]),
            RulesConfig(near_duplicates=NearDuplicateConfig(similarity=0.7)),
        ]
    ),
)
def test_adding_a_rule_gives_no_row_back(rows: list[Row], rules: RulesConfig) -> None:
    """Of rules, exact duplicates and benchmarks. (Caps and near duplicates give a place to the next in turn.)"""
    rows = [one | {"own_split": ""} for one in same_layout(rows)]
    before = apply_filters(table(rows), PLAIN, BENCHMARKS).reasons
    after = apply_filters(table(rows), replace(PLAIN, rules=rules), BENCHMARKS).reasons
    assert all(new for old, new in zip(before, after, strict=True) if old)


@few
@given(ROWS)
def test_one_row_of_each_content_is_left(rows: list[Row]) -> None:
    found = apply_filters(table(rows), replace(PLAIN, split=SplitConfig(heldout_fraction=0.0)), None)
    kept = [one["content_key"] for one, reason in zip(rows, found.reasons, strict=True) if reason in ("", "split_leak")]
    assert sorted(kept) == sorted({one["content_key"] for one in rows})


_BUS = [("c", 7340032), ("c", 7340032)]


# The last but one equals the one before it, and that one is like the last.
@example(
    [row("What is it?", ("A bus.", "A dog."), [])] * 4
    + [row("What is it?", ("A dog.", "A bus."), [*_BUS, ("a", 1_099_511_627_776)])] * 2
    + [row("What is it?", ("A dog.", "A bus."), [*_BUS, ("b", 1_099_511_627_777)])]
)
@few
@given(ROWS)
def test_a_near_duplicate_is_like_an_earlier_row_that_stays(rows: list[Row]) -> None:
    made = table(rows)
    order = canonical_order(made, ["s", "t"])
    like = near_duplicates(made, order, NearDuplicateConfig(similarity=0.7))
    place = {row_: i for i, row_ in enumerate(order.tolist())}
    for later, earlier in enumerate(like.tolist()):
        if earlier >= 0:
            assert place[earlier] < place[later] and like[earlier] < 0
            assert len(rows[earlier]["image_keys"]) == len(rows[later]["image_keys"])


@few
@given(st.floats(0, 4), st.integers(0, 3))
def test_repeats_are_right_in_expectation(repeat: float, seed: int) -> None:
    source = SourceConfig(name="s", path="s", repeat=repeat, seed=seed)
    config = PreprocessConfig(sources=[source], split=SplitConfig(heldout_fraction=0.0), mixture=MixtureConfig())
    shown = apply_filters(MANY, config, None).repeats
    assert set(shown.tolist()) <= {int(np.floor(repeat)), int(np.floor(repeat)) + 1}
    assert abs(shown.sum() - 300 * repeat) < 5 * np.sqrt(300 * 0.25) + 1
