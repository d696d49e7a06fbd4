"""Rules that look at one row at a time, and truncation as filtering applies it."""

import pytest
from filter_toys import row, table

from data_pipeline.config import PreprocessConfig, RulesConfig, SourceConfig
from data_pipeline.filtering.apply import FilterResult, apply_filters

LONG = {"turn_lengths": [20, 40, 40, 40, 3], "turn_images": [0] * 5, "response_lengths": [10, 30]}


def filtered(one: dict[str, object], **rules: object) -> FilterResult:
    config = PreprocessConfig(sources=[SourceConfig(name="s", path="x")], rules=RulesConfig(**rules))  # type: ignore[arg-type]
    return apply_filters(table([row("Another, first."), one]), config, None)


@pytest.mark.parametrize(
    ("rules", "reason", "detail"),
    [
        (
            {"max_tokens": 172, "truncate": "nothing"},
            "too_long",
            "173 tokens of prompt and longest response, limit 172",
        ),
        ({"max_tokens": 92}, "too_long", "173 tokens of prompt and longest response, limit 92"),
        ({"max_tokens": 93}, "", ""),
        ({"min_response_chars": 4}, "response_too_short", "a response of 3 characters, at least 4"),
        ({"min_response_chars": 3}, "", ""),
        ({"max_response_chars": 5}, "response_too_long", "a response of 6 characters, at most 5"),
        ({"max_response_chars": 6}, "", ""),
        ({"max_prompt_chars": 8}, "prompt_too_long", "a prompt of 9 characters, at most 8"),
        ({"max_prompt_chars": 9}, "", ""),
        ({"languages": ["de", "fr"]}, "language", "language 'en', kept are de, fr"),
        ({"languages": ["de", "en"]}, "", ""),
    ],
)
def test_each_rule(rules: dict[str, object], reason: str, detail: str) -> None:
    found = filtered(row("Which is?", ["abc", "abcdef"], language="en", **LONG), **rules)
    assert (found.reasons[1], found.details[1]) == (reason, detail)


def test_an_unknown_language_is_no_reason_against_a_row() -> None:
    assert filtered(row(language=""), languages=["de"]).reasons[1] == ""


def test_sizes_after_the_cut() -> None:
    found = filtered(row(**LONG), max_tokens=80, truncate="responses")
    assert found.dropped_turns.tolist() == [0, 2]
    assert found.prefix_length.tolist() == [33, 63]
    assert found.response_lengths == [(5, 5), (10, 17)]


@pytest.mark.parametrize(("common_prefix", "reason"), [(15, ""), (16, "identical_after_truncation")])
def test_a_cut_must_not_take_the_difference_away(common_prefix: int, reason: str) -> None:
    lengths = LONG | {"response_lengths": [25, 30]}
    found = filtered(row(common_prefix=common_prefix, **lengths), max_tokens=80, truncate="responses")
    assert found.reasons[1] == reason
    assert filtered(row(common_prefix=common_prefix, **lengths), max_tokens=93).reasons[1] == ""


def test_the_first_reason_counts() -> None:
    found = filtered(row("Which?", ["abc", "abcdef"]), min_response_chars=5, max_prompt_chars=2, languages=["de"])
    assert found.reasons[1] == "response_too_short"
