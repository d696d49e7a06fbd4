"""Caps, repeats, weights and the share of text: how often an epoch shows each row."""

from typing import Any

import numpy as np
import pytest
from filter_toys import row, table

from data_pipeline.bounds import check_bounds
from data_pipeline.config import MixtureConfig, PreprocessConfig, SourceConfig, SplitConfig
from data_pipeline.errors import RecipeError
from data_pipeline.filtering.apply import FilterResult, apply_filters
from data_pipeline.filtering.mixture import check_mixture

ROWS = [row(f"Question {i}", (f"yes {i}", f"no {i}"), source="a", id=str(i)) for i in range(200)]
PICTURED = [row(f"Look {i}", (f"yes {i}", f"no {i}"), [(f"k{i}", i + 1)], source="b", id=str(i)) for i in range(100)]


def config(
    a: dict[str, Any], b: dict[str, Any] | None = None, heldout: float = 0.0, **mixture: Any
) -> PreprocessConfig:
    sources = [SourceConfig(name="a", path="a", **a), SourceConfig(name="b", path="b", **(b or {}))]
    return PreprocessConfig(
        sources=sources, split=SplitConfig(heldout_fraction=heldout), mixture=MixtureConfig(**mixture)
    )


def shown(found: FilterResult, rows: list[dict[str, Any]]) -> dict[str, int]:
    totals = {"a": 0, "b": 0}
    for one, times, split in zip(rows, found.repeats.tolist(), found.splits, strict=True):
        totals[one["source"]] += times if split == "train" else 0
    return totals


def test_a_cap_is_exact_and_goes_by_seed() -> None:
    one, again, other = (apply_filters(table(ROWS), config({"cap": 50, "seed": seed}), None) for seed in (0, 0, 1))
    assert one.reasons == again.reasons != other.reasons
    for found in (one, other):
        assert found.reasons.count("over_cap") == 150 and found.reasons.count("") == 50
    assert set(one.details) == {"", "source 'a' has cap=50"}
    assert apply_filters(table(ROWS), config({"cap": 200}), None).reasons == [""] * 200


def test_a_larger_cap_keeps_what_a_smaller_one_kept() -> None:
    few, many = (apply_filters(table(ROWS), config({"cap": cap}), None).reasons for cap in (50, 60))
    assert all(more == "" for less, more in zip(few, many, strict=True) if less == "")


def test_heldout_rows_are_neither_capped_nor_repeated() -> None:
    found = apply_filters(table(ROWS), config({"cap": 10, "repeat": 3.0}, heldout=0.5), None)
    heldout = [i for i, split in enumerate(found.splits) if split == "heldout"]
    assert 60 < len(heldout) < 140
    assert {int(found.repeats[i]) for i in heldout} == {1}
    assert found.repeats.sum() == len(heldout) + 30


def test_repeats_show_whole_times_and_a_fraction_by_hash() -> None:
    assert set(apply_filters(table(ROWS), config({"repeat": 2.0}), None).repeats.tolist()) == {2}
    half = apply_filters(table(ROWS), config({"repeat": 1.5}), None).repeats
    assert set(half.tolist()) == {1, 2} and 260 < half.sum() < 340
    more = apply_filters(table(ROWS), config({"repeat": 1.6}), None).repeats
    assert np.all(more >= half)
    assert not np.array_equal(half, apply_filters(table(ROWS), config({"repeat": 1.5, "seed": 1}), None).repeats)
    assert set(apply_filters(table(ROWS), config({"repeat": 0.0}), None).repeats.tolist()) == {0}


def test_the_fraction_of_repeats_is_independent_of_the_cap() -> None:
    found = apply_filters(table(ROWS), config({"cap": 100, "repeat": 1.5}), None)
    assert 125 < found.repeats.sum() < 175


def test_a_files_repeat_multiplies() -> None:
    rows = [one | {"file_repeat": 3.0 if i < 20 else 1.0} for i, one in enumerate(ROWS)]
    assert apply_filters(table(rows), config({"repeat": 2.0}), None).repeats.tolist() == [6] * 20 + [2] * 180


def test_weights_are_shares_of_what_repeats_alone_would_show() -> None:
    rows = ROWS + PICTURED
    found = shown(apply_filters(table(rows), config({"weight": 1.0}, {"weight": 2.0}), None), rows)
    assert abs(found["a"] - 100) < 30 and found["b"] == 200
    same = shown(apply_filters(table(rows), config({"weight": 2.0}, {"weight": 1.0}), None), rows)
    assert same == {"a": 200, "b": 100}
    alone = shown(apply_filters(table(ROWS), config({"weight": 2.0}, {"weight": 1.0}), None), ROWS)
    assert alone == {"a": 200, "b": 0}


def test_text_ratio_moves_text_only() -> None:
    rows = ROWS + PICTURED
    found = shown(apply_filters(table(rows), config({}, {"repeat": 2.0}, text_ratio=0.5), None), rows)
    assert abs(found["a"] - 100) < 30 and found["b"] == 200
    assert shown(apply_filters(table(rows), config({}, text_ratio=0.0), None), rows) == {"a": 0, "b": 100}
    assert shown(apply_filters(table(rows), config({}, text_ratio=4.0), None), rows) == {"a": 400, "b": 100}


@pytest.mark.parametrize(("rows", "kind"), [(ROWS, "with images"), (PICTURED, "of text only")])
def test_a_text_ratio_that_cannot_be_met_is_an_error(rows: list[dict[str, Any]], kind: str) -> None:
    with pytest.raises(RecipeError, match=f"no Comparison {kind} is left"):
        apply_filters(table(rows), config({}, text_ratio=1.0), None)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (config({"weight": 1.0}), "sources a have a weight and b have none"),
        (config({"weight": 0.0}, {"weight": 1.0}), "weight=0.0 of 'a' must be above 0"),
        (config({"cap": 0}), "cap=0 of 'a' must be at least 1"),
        (config({"repeat": -1.0}), "repeat=-1.0 of 'a' must be at least 0"),
        (config({"repeat": float("nan")}), "repeat=nan"),
        (config({}, only=["c"]), "mixture.only names 'c': no source has that name; there are a, b"),
        (config({}, text_ratio=-0.1), "text_ratio=-0.1"),
    ],
)
def test_wrong_mixtures(wrong: PreprocessConfig, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        checked(wrong)


def checked(config: PreprocessConfig) -> None:
    check_bounds(config, "preprocess")
    check_mixture(config)


def test_a_weight_is_not_asked_of_a_source_that_is_not_used() -> None:
    check_mixture(config({"weight": 1.0}, only=["a"]))
