"""Benchmarks under an ensemble: rewards of all members put together, row by row."""

from pathlib import Path

import pytest

from data_pipeline.errors import CorruptData, RecipeError
from rm_core.ensembles.config import EnsembleConfig, GateConfig, MemberConfig, check_ensemble_config
from rm_core.ensembles.ensemble import Ensemble, Member
from rm_core.ensembles.suites import SuiteStanding, combine_given
from rm_core.evaluation.suites.given import GivenRewards


def member(name: str, *, mean: float, spread: float) -> Member:
    return Member(name=name, text_only=False, mean=mean, spread=spread, weight=1.0, accuracy=0.7, margin=1.0)


PAIR = Ensemble(
    members=(member("a", mean=0.0, spread=1.0), member("b", mean=10.0, spread=2.0)),
    rule="mean", penalty=1.0, temperature=1.0, num_comparisons=9,
)  # fmt: skip


def test_rows_of_any_number_of_answers_are_combined_on_one_scale() -> None:
    given = {
        "a": [
            GivenRewards((1.0, 0.0), pictures=("p",), hashes=(3,)),
            GivenRewards((0.0, 1.0, 2.0), missing_pictures=1),
        ],
        "b": [GivenRewards((10.0, 14.0)), GivenRewards((12.0, 12.0, 8.0))],
    }
    first, second = combine_given(PAIR, given)
    assert first.rewards == (0.5, 1.0) and second.rewards == (0.5, 1.0, 0.5)
    assert (first.pictures, first.hashes, second.missing_pictures) == (("p",), (3,), 1)


def test_a_row_that_a_member_can_not_score_has_no_rewards_and_the_others_keep_theirs() -> None:
    given = {
        "a": [GivenRewards((1.0, 0.0)), GivenRewards((5.0, 5.0)), GivenRewards((2.0, 0.0))],
        "b": [GivenRewards((10.0, 10.0)), GivenRewards(None, "too_long: 9"), GivenRewards((10.0, 10.0))],
    }
    found = combine_given(PAIR, given)
    assert [one.rewards for one in found] == [(0.5, 0.0), None, (1.0, 0.0)]
    assert found[1].error == "too_long: 9 (member b)"
    nothing = {name: [GivenRewards(None, "too_long: 9")] for name in ("a", "b")}
    assert [one.rewards for one in combine_given(PAIR, nothing)] == [None]


def test_what_the_gate_looks_at_is_the_main_number_and_the_files() -> None:
    document = {
        "numbers": {"overall": {"value": 0.5}, "macro": {"value": 0.4}}, "num_items": 7, "files": [{"sha256": "aa"}],
    }  # fmt: skip
    assert SuiteStanding.of_document(document, "x") == SuiteStanding(
        number="overall", value=0.5, num_rows=7, files=("aa",)
    )
    for broken in ({}, {**document, "numbers": {}}, {**document, "files": None}):
        with pytest.raises(CorruptData, match="'x' holds no numbers of a suite"):
            SuiteStanding.of_document(broken, "x")


def test_the_gate_asks_for_suites_by_name_and_for_shares(tmp_path: Path) -> None:
    def check(**suites: float) -> None:
        members = [MemberConfig(name="a", model=str(tmp_path))]
        check_ensemble_config(EnsembleConfig(members=members, gate=GateConfig(suites=suites)))

    check(rm_bench=0.5)
    with pytest.raises(RecipeError, match=r"ensemble\.gate\.suites='rm_bank' must be a suite: mm_rlhf"):
        check(rm_bank=0.5)
    with pytest.raises(RecipeError, match=r"ensemble\.gate\.suites.*=55 must be from 0 to 1"):
        check(rm_bench=55)
