"""Planted shortcuts are found, models without one are left alone, and the numbers are those worked out by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from rm_core.evaluation.diagnostics.diagnose import Diagnostics, diagnose
from rm_core.evaluation.diagnostics.probes import Probed
from rm_core.evaluation.intervals import Resampling
from rm_core.scoring.scored import ScoredComparison

SEEDS = range(8)
RESAMPLING = Resampling(samples=200)
Probes = Mapping[str, Sequence[Probed]]


def model(
    seed: int,
    *,
    of_length: float = 0.0,
    of_place: float = 0.0,
    of_answer: float = 1.0,
    longer_is_better: float = 0.5,
    first_is_better: float = 0.5,
    count: int = 300,
) -> list[ScoredComparison]:
    """Pairs whose rewards are so much of the answer's worth, of its length and of being first, and noise."""
    random = np.random.default_rng(seed)
    found = []
    for place in range(count):
        first_is = random.random() < first_is_better
        longer_is = random.random() < longer_is_better
        ranks = (0, 1) if first_is else (1, 0)
        lengths = tuple(int(random.integers(60, 90) if (rank == 0) == longer_is else 40) for rank in ranks)
        rewards = tuple(
            of_answer * (rank == 0) + of_length * length / 40 + of_place * (slot == 0) + random.normal(0, 0.5)
            for slot, (rank, length) in enumerate(zip(ranks, lengths, strict=True))
        )
        found.append(ScoredComparison(str(place), "s", rewards, ranks, lengths, 1, group=str(place)))
    return found


def changed(scored: Sequence[ScoredComparison], seed: int, **settings: float) -> list[Probed]:
    """The same Comparisons scored by a model of other settings: pictures gone, another form."""
    again = model(seed, **settings)  # type: ignore[arg-type]
    assert [one.ranks for one in again] == [one.ranks for one in scored]
    return [Probed(one.rewards) for one in again]


def found(scored: Sequence[ScoredComparison], probes: Probes | None = None) -> Diagnostics:
    return diagnose(scored, probes or {}, RESAMPLING)


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_data_have_no_warning(seed: int) -> None:
    scored = model(seed)
    blind = changed(scored, seed, of_answer=0.0)
    same = [Probed(tuple(reward + 0.1 for reward in one.rewards)) for one in scored]
    probes = {"shuffled_images": blind, "noise_images": blind, "polite_sentence": same, "trailing_spaces": same}
    assert found(scored, probes).shortcuts == ()
    # Labels that go with length, or with place, are no shortcut of a model that reads the answers.
    assert found(model(seed, longer_is_better=0.75, first_is_better=0.9)).shortcuts == ()
    # Nor is a model that knows nothing, nor one that gives all the same.
    assert found(model(seed, of_answer=0.0)).shortcuts == ()
    assert found([replace(one, rewards=(1.0, 1.0)) for one in scored]).shortcuts == ()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_length_bias_is_found(seed: int) -> None:
    settings = {"of_answer": 0.2, "longer_is_better": 0.8}
    by_length = found(model(seed, of_length=2.0, **settings))
    assert by_length.shortcuts == ("longer",)
    assert by_length.longer is not None and by_length.longer.where_wrong is not None
    assert by_length.longer.accuracy.value == pytest.approx(0.8, abs=0.08)
    assert by_length.longer.followed.value > 0.9 > 0.3 > by_length.longer.where_wrong.value
    assert found(model(seed, of_length=-2.0, of_answer=0.2, longer_is_better=0.2)).shortcuts == ("shorter",)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_first_position_bias_is_found(seed: int) -> None:
    assert found(model(seed, of_place=3.0)).shortcuts == ("first",)
    assert found(model(seed, of_place=-3.0, first_is_better=0.1)).shortcuts == ("last",)


@pytest.mark.parametrize("seed", SEEDS)
def test_labels_that_need_no_picture_are_found(seed: int) -> None:
    scored = model(seed)
    blind = [Probed(tuple(reward + 0.01 for reward in one.rewards)) for one in scored]
    assert found(scored, {"shuffled_images": blind}).shortcuts == ("shuffled_images",)
    blank = [replace(one, blank_rewards=probed.rewards) for one, probed in zip(scored, blind, strict=True)]
    diagnosed = found(blank)
    assert (diagnosed.shortcuts, [*diagnosed.numbers()]) == (("blank_images",), ["blank_image_accuracy"])


@pytest.mark.parametrize("name", ["polite_sentence", "markdown_stripped"])
def test_a_form_that_buys_rewards_is_found(name: str) -> None:
    scored = model(1)
    sign = 1 if name == "polite_sentence" else -1
    bought = [Probed(tuple(reward + 3.0 * sign for reward in one.rewards), changed=(True, True)) for one in scored]
    check = found(scored, {name: bought})
    assert check.shortcuts == (name,)
    probe = check.probes[name]
    assert (probe.loss.value, probe.switched) == (0.0, 0.0)  # where all answers have it, nothing is to be seen
    assert probe.mean_change == pytest.approx(3.0 * sign)
    assert probe.only_worse is not None and probe.only_better is not None
    assert min(probe.only_worse.value, probe.only_better.value) < 0.1


def test_a_set_with_the_chosen_answer_first_says_nothing_of_place() -> None:
    always_first = model(1, first_is_better=1.0, of_answer=0.0, of_place=3.0)
    check = found(always_first)
    assert check.first_is_better is not None and check.first_is_better.value == 1.0
    assert (check.first, check.shortcuts) == (None, ())
    # Read in the other order, the same model contradicts itself.
    turned = [Probed((0.0, 3.0)) for _ in always_first]
    check = found(always_first, {"reversed_answers": turned})
    assert check.first is not None and check.is_reversed
    assert check.shortcuts == ("first",)
    assert check.probes["reversed_answers"].switched > 0.9


def test_few_exceptions_are_enough_against_one_who_always_says_first() -> None:
    scored = [replace(one, rewards=(1.0, 0.0)) for one in model(1, first_is_better=0.9, count=100)]
    assert found(scored).shortcuts == ("first",)
    assert found(scored[:3]).shortcuts == ()


def test_a_source_of_one_order_is_left_out_of_place() -> None:
    hard = [replace(one, source="t") for one in model(1, first_is_better=0.0, of_answer=-3.0)]
    easy = model(2, of_answer=3.0)
    check = found([*hard, *easy])
    assert check.first is not None
    assert (check.first.num_pairs, check.shortcuts) == (300, ())


def test_numbers_by_hand() -> None:
    # a: the better one is first and shorter, right. b: the better one is second and longer (gap 1/10), equal rewards.
    scored = [
        ScoredComparison("a", "s", (2.0, 1.0), (0, 1), (5, 10), 1, group="a"),
        ScoredComparison("b", "s", (1.0, 1.0), (1, 0), (9, 10), 0, group="b"),
    ]
    probed = [Probed((0.0, 1.0), changed=(True, False)), Probed(None, "cut: of 9 tokens")]
    check = found(scored, {"polite_sentence": probed})
    assert check.longer is not None and check.first is not None
    assert (check.longer.num_pairs, check.longer.num_right, check.longer.accuracy.value) == (2, 1, 0.5)
    assert check.longer.followed.value == 0.25  # not in a, half in b
    assert [(one.high, one.num_pairs, one.accuracy.value) for one in check.by_length_gap] == [
        (0.1, 1, 0.5),
        (0.5, 1, 1),
    ]
    assert check.first.followed.value == 0.75
    probe = check.probes["polite_sentence"]
    assert (probe.num_comparisons, probe.left_out) == (1, {"cut": 1})
    assert (probe.before.value, probe.after.value, probe.switched, probe.mean_change) == (1.0, 0.0, 1.0, -2.0)
    assert probe.only_worse is None  # the worse answer of a did not change
    assert probe.only_better is not None and probe.only_better.value == 0.0
    assert check.numbers() == {"polite_sentence_accuracy": 0.0}
    assert check.num_tests == 6


def test_order_of_comparisons_means_nothing() -> None:
    scored = model(3)
    assert found(scored[::-1]) == found(scored)
