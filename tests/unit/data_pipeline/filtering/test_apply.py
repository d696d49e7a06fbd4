"""The order of the reasons, exact duplicates, leaks, and which configs no filter can work with."""

from typing import Any

import pytest
from filter_toys import row, table

from data_pipeline.bounds import check_bounds
from data_pipeline.config import (
    DecontaminateConfig,
    NearDuplicateConfig,
    PreprocessConfig,
    RulesConfig,
    SourceConfig,
    SplitConfig,
)
from data_pipeline.errors import RecipeError
from data_pipeline.filtering.apply import REASONS, FilterResult, apply_filters, check_filters
from data_pipeline.filtering.contamination import BenchmarkIndex

BUS = ("bus", 0x0123_4567_89AB_CDEF)


def config(**settings: Any) -> PreprocessConfig:
    sources = [SourceConfig(name="s", path="s"), SourceConfig(name="t", path="t")]
    return PreprocessConfig(**({"sources": sources, "split": SplitConfig(heldout_fraction=0.0)} | settings))


def filtered(*rows: dict[str, Any], benchmarks: BenchmarkIndex | None = None, **settings: Any) -> FilterResult:
    return apply_filters(table(rows), config(**settings), benchmarks)


def test_the_first_source_of_the_recipe_wins_wherever_its_rows_stand() -> None:
    found = filtered(row(source="t", id="1"), row(source="s", id="2"), row(source="s", id="3"))
    assert found.reasons == ["duplicate", "", "duplicate"]
    assert found.details == ["the same as '2' of source 's'", "", "the same as '2' of source 's'"]


def test_of_equal_rows_in_a_source_one_that_fixes_its_side_wins() -> None:
    found = filtered(row(id="1"), row(id="2", own_split="train"), row(id="3", own_split="heldout"))
    assert found.reasons == ["duplicate", "duplicate", ""]
    assert found.splits == ["", "", "heldout"]


def test_a_refused_row_makes_no_near_duplicate() -> None:
    near = NearDuplicateConfig(similarity=0.9)
    long = row("What is it now?", turn_lengths=[10, 50, 3], id="1")
    others = [row("What is it now!", source="t", id="2"), row("what is it NOW", source="t", id="3")]
    found = filtered(long, *others, rules=RulesConfig(near_duplicates=near))
    assert found.reasons == ["", "near_duplicate", "near_duplicate"]
    assert found.details[1] == "nearly the same as '1' of source 's'"
    refused = filtered(long, *others, rules=RulesConfig(max_tokens=50, near_duplicates=near))
    assert refused.reasons[0] == "too_long"
    assert sorted(refused.reasons[1:]) == ["", "near_duplicate"]


def test_a_refused_row_connects_no_groups() -> None:
    """Only through the second row do the others share a picture, and that one is refused."""
    a, b = ("a", 11), ("b", 22)
    rows = [row("1", images=[a], own_split="heldout"), row("2", ["y", "no"], [a, b]), row("3", images=[b])]
    assert filtered(*rows).splits == ["heldout"] * 3
    refused = filtered(*rows, rules=RulesConfig(min_response_chars=2))
    assert refused.reasons == ["", "response_too_short", ""]
    assert refused.splits == ["heldout", "", "train"]


def test_a_row_that_says_train_in_a_heldout_group_is_a_leak() -> None:
    found = filtered(row("1", images=[BUS], own_split="train"), row("2", images=[BUS], own_split="heldout"))
    assert found.reasons == ["split_leak", ""]
    assert found.details[0] == "says train; shares an image or prompt with held-out rows"
    assert (found.splits, found.repeats.tolist()) == (["", "heldout"], [0, 1])


def test_a_source_that_fixes_its_side_overrides_its_records() -> None:
    sources = [SourceConfig(name="s", path="s", split="heldout"), SourceConfig(name="t", path="t")]
    found = filtered(row("1", own_split="train"), row("2", source="t"), sources=sources)
    assert found.reasons == ["", ""]
    assert found.splits == ["heldout", "train"]


def test_contaminated_rows_are_counted_by_benchmark() -> None:
    index = BenchmarkIndex.from_tables(
        [("one", table([row("What is on it?", images=[BUS])])), ("two", table([row("Who?")]))]
    )
    found = filtered(
        row("a", images=[BUS]), row("b", images=[BUS], id="2"), row("c"), row("a", images=[BUS]), benchmarks=index
    )
    assert found.reasons == ["contaminated", "contaminated", "", "duplicate"]
    assert found.details[0] == "an image of item 'x' of benchmark 'one'"
    assert found.overlaps == {"one": 2, "two": 0}
    assert found.splits == ["", "", "train", ""]


def test_nothing_to_filter() -> None:
    found = filtered(rules=RulesConfig(languages=["en"], near_duplicates=NearDuplicateConfig(similarity=0.9)))
    assert (found.reasons, found.splits, found.response_lengths) == ([], [], [])


def test_reasons_are_distinct_words() -> None:
    assert len(set(REASONS)) == len(REASONS)
    assert all(reason.replace("_", "").isalpha() for reason in REASONS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rules": RulesConfig(max_tokens=0)}, "rules.max_tokens=0 must be at least 1"),
        ({"rules": RulesConfig(truncate="all")}, "rules.truncate='all' must be one of nothing, turns, responses"),
        ({"rules": RulesConfig(min_response_chars=-1)}, "rules.min_response_chars=-1"),
        ({"rules": RulesConfig(max_response_chars=0)}, "rules.max_response_chars=0"),
        ({"rules": RulesConfig(max_prompt_chars=0)}, "rules.max_prompt_chars=0"),
        ({"rules": RulesConfig(languages=["english"])}, "rules.languages='english' must be ISO 639-1 codes"),
        ({"rules": RulesConfig(languages=["EN"])}, "rules.languages='EN'"),
        (
            {"rules": RulesConfig(near_duplicates=NearDuplicateConfig(similarity=1.1))},
            "rules.near_duplicates.similarity=1.1 must be above 0 and at most 1",
        ),
        ({"rules": RulesConfig(near_duplicates=NearDuplicateConfig(similarity=0.0))}, "similarity=0.0"),
        (
            {"rules": RulesConfig(near_duplicates=NearDuplicateConfig(image_distance=4))},
            "rules.near_duplicates.image_distance=4 must be from 0 to 3",
        ),
        ({"decontaminate": DecontaminateConfig(image_distance=-1)}, "decontaminate.image_distance=-1"),
        ({"decontaminate": DecontaminateConfig(shared_ngrams=0)}, "decontaminate.shared_ngrams=0 must be at least 1"),
        ({"split": SplitConfig(heldout_fraction=1.5)}, "split.heldout_fraction=1.5 must be from 0 to 1"),
        ({"sources": [SourceConfig(name="s", path="s", split="test")]}, "split='test' of 's' must be one of train"),
        ({"sources": [SourceConfig(name="s", path="s", cap=0)]}, "cap=0"),
    ],
)
def test_values_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        checked(config(**settings))


def checked(settings: PreprocessConfig) -> None:
    check_bounds(settings, "preprocess")
    check_filters(settings)


def test_the_defaults_pass() -> None:
    checked(config())
