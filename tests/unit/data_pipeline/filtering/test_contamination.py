"""What a row may share with a benchmark, and what it may not."""

from typing import Any

import pytest
from filter_toys import row, table

from data_pipeline.config import DecontaminateConfig
from data_pipeline.filtering.contamination import BenchmarkIndex, Overlap, overlaps

WORDS = [f"word{i}" for i in range(60)]
BUS = ("bus", 0x0123_4567_89AB_CDEF)
CAT = ("cat", 0x0F0F_3C3C_5A5A_9696)
FLAT = ("white", 0)


def asked(start: int, end: int) -> str:
    return " ".join(WORDS[start:end])


INDEX = BenchmarkIndex.from_tables(
    [
        ("first", table([row(asked(0, 30), id="f0"), row("What is it?", images=[BUS, FLAT], id="f1")])),
        ("empty", table([])),
        (
            "second",
            table([row(asked(0, 20), id="s0"), row("How many cats?", id="s1"), row("?", images=[CAT], id="s2")]),
        ),
    ]
)


def found(one: dict[str, Any], **config: Any) -> tuple[str, str] | None:
    other, overlap = overlaps(table([row("Nothing of the kind."), one]), INDEX, DecontaminateConfig(**config))
    assert other is None
    return overlap and (overlap.benchmark, overlap.item)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (row(f"Now: {asked(5, 18)}?"), ("first", "f0")),
        (row(asked(5, 17)), None),
        (row(asked(5, 18), images=[("mine", 5)]), ("first", "f0")),
        (row(asked(0, 20)), ("second", "s0")),
        (row("how many CATS"), ("second", "s1")),
        (row("how many cats", images=[("mine", 5)]), None),
        (row("What is it?"), None),
        (row("Another question", images=[("mine", 5), BUS]), ("first", "f1")),
        (row("Another question", images=[("recoded", BUS[1] ^ 0b111)]), ("first", "f1")),
        (row("Another question", images=[("similar", BUS[1] ^ 0b1111)]), None),
        (row("Another question", images=[FLAT]), ("first", "f1")),
        (row("Another question", images=[("black", 0)]), None),
        (row("Another question", images=[("cut", CAT[1] ^ (1 << 63 | 1 << 30 | 1))]), ("second", "s2")),
    ],
)
def test_overlaps(one: dict[str, Any], expected: tuple[str, str] | None) -> None:
    assert found(one) == expected


def test_more_shared_runs_can_be_asked_for() -> None:
    assert found(row(asked(5, 19)), shared_ngrams=2) == ("first", "f0")
    assert found(row(asked(5, 18)), shared_ngrams=2) is None
    two_prompts = row(f"{asked(0, 13)} and {asked(17, 30)}")  # one run of s0, two of f0
    assert found(two_prompts, shared_ngrams=2) == ("first", "f0")
    assert found(two_prompts, shared_ngrams=3) is None


def test_hashes_may_be_asked_to_be_equal() -> None:
    assert found(row("x", images=[("recoded", CAT[1])]), image_distance=0) == ("second", "s2")
    assert found(row("x", images=[("recoded", CAT[1] ^ 1)]), image_distance=0) is None


def test_details_name_benchmark_and_item() -> None:
    rows = table([row(asked(3, 20), images=[CAT]), row("How many cats?"), row(asked(20, 40)), row(asked(10, 30))])
    assert overlaps(rows, INDEX, DecontaminateConfig()) == [
        Overlap("second", "s2", "an image of item 's2' of benchmark 'second'"),
        Overlap("second", "s1", "the prompt of item 's1' of benchmark 'second'"),
        None,
        Overlap("first", "f0", "8 runs of 13 words in the prompt of item 'f0' of benchmark 'first'"),
    ]


def test_an_image_that_a_benchmark_could_not_show_leaves_its_prompt() -> None:
    bare = BenchmarkIndex.from_tables([("b", table([row("Describe the picture.", id="1")]))])
    rows = table([row("Describe the picture.", images=[CAT]), row("Describe the picture.")])
    assert [one is None for one in overlaps(rows, bare, DecontaminateConfig())] == [True, False]


def test_no_benchmark_is_an_error() -> None:
    with pytest.raises(ValueError, match="no benchmark"):
        BenchmarkIndex.from_tables([])
    assert overlaps(table([]), INDEX, DecontaminateConfig()) == []
