"""Which rows are one group, and in which split a group falls."""

from typing import Any

import numpy as np
from filter_toys import row, table

from data_pipeline.config import SplitConfig
from data_pipeline.filtering.split import Splits, assign_splits


def splits(*rows: dict[str, Any], **config: Any) -> Splits:
    made = table(rows)
    own = made["own_split"].to_pylist()
    return assign_splits(made["image_keys"], made["image_hashes"], made["prompt_key"], own, SplitConfig(**config))


def groups(*rows: dict[str, Any]) -> list[int]:
    found = splits(*rows).groups.tolist()
    return [found.index(group) for group in found]


def test_rows_that_share_a_file_or_a_hash_are_one_group() -> None:
    a, b, recoded = ("a", 11), ("b", 22), ("a2", 11)
    assert groups(row("1", images=[a]), row("2", images=[b]), row("3", images=[recoded])) == [0, 1, 0]
    assert groups(row("1", images=[a]), row("2", images=[b]), row("3", images=[b, a])) == [0, 0, 0]


def test_flat_pictures_are_one_only_by_their_file() -> None:
    white, black = ("white", 0), ("black", 0)
    assert groups(row("1", images=[white]), row("2", images=[black]), row("3", images=[white])) == [0, 1, 0]


def test_prompts_count_for_text_only_rows() -> None:
    found = groups(
        row("What?"), row("what"), row("Who?"), row("What?", images=[("a", 1)]), row("What?", images=[("b", 2)])
    )
    assert found == [0, 0, 2, 3, 4]


def test_the_fraction_is_a_share_of_groups_and_the_seed_picks_others() -> None:
    rows = [row(f"Question {i % 400}", (f"a{i}", f"b{i}")) for i in range(800)]
    one, other = (splits(*rows, heldout_fraction=0.25, seed=seed) for seed in (0, 1))
    assert 140 < one.heldout.sum() < 260
    assert np.array_equal(one.heldout[:400], one.heldout[400:])
    assert 200 < (one.heldout != other.heldout).sum() < 400
    assert not splits(*rows, heldout_fraction=0.0).heldout.any()
    assert splits(*rows, heldout_fraction=1.0).heldout.all()


def test_a_group_goes_where_its_rows_say() -> None:
    a = [("a", 11)]
    fixed = splits(row("1", images=a, own_split="train"), row("2", images=a), heldout_fraction=1.0)
    assert not fixed.heldout.any() and not fixed.leaks.any()
    torn = splits(
        row("1", images=a, own_split="train"),
        row("2", images=a, own_split="heldout"),
        row("3", images=a),
        row("4"),
        heldout_fraction=0.0,
    )
    assert torn.heldout.tolist() == [True, True, True, False]
    assert torn.leaks.tolist() == [True, False, False, False]


def test_a_split_does_not_depend_on_other_groups() -> None:
    rows = [row(f"Question {i}") for i in range(50)] + [row("x", images=[(f"k{i}", i)]) for i in range(50)]
    together = splits(*rows, heldout_fraction=0.5).heldout
    alone = [bool(splits(one, heldout_fraction=0.5).heldout[0]) for one in rows]
    assert together.tolist() == alone


def test_no_rows() -> None:
    assert len(splits().heldout) == 0
