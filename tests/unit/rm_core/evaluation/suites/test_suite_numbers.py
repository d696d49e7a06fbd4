"""Every suite's numbers against plain arithmetic: on toys everywhere, on the real rows where they are."""

import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from plain_suites import (
    Record,
    Rewards,
    plain_mm_rlhf,
    plain_multimodal,
    plain_rewardbench,
    plain_rm_bench,
    plain_vl,
)
from suite_toys import TOYS, rewardbench, write_suite

from rm_core.evaluation.intervals import Resampling
from rm_core.evaluation.suites.files import SuiteData, open_suite
from rm_core.evaluation.suites.given import GivenRewards
from rm_core.evaluation.suites.registry import SUITES
from rm_core.evaluation.suites.report import SuiteReport, measure
from rm_core.evaluation.suites.suite import SuiteItem

REAL = Path(os.environ.get("BASEREWARD_REAL_DATA", Path(__file__).parents[6] / "shared" / "data")) / "benchmarks"
PLAIN: dict[str, Callable[..., dict[str, float]]] = {
    "mm_rlhf_rewardbench": plain_mm_rlhf,
    "vl_rewardbench": plain_vl,
    "multimodal_rewardbench": plain_multimodal,
    "rewardbench": plain_rewardbench,
    "rm_bench": lambda records, rewards: plain_rm_bench(records, rewards, [one["domain"] for one in records]),
}
KINDS = ("random", "ties", "right", "wrong", "first", "last", "nearly")
SETTING = Resampling(samples=10)


def rewards_of(data: SuiteData, kind: str) -> Rewards:
    """Rewards of every row: by chance with ties, all equal, as labelled, against the labels, by place, by a hair."""
    chance = random.Random(7)
    made: Rewards = []
    for item in data.items:
        rows = {
            "random": [chance.choice([-1.5, 0.0, 0.25, 3.0]) for _ in item.ranks],
            "ties": [2.0 for _ in item.ranks],
            "right": [-float(rank) for rank in item.ranks],
            "wrong": [float(rank) for rank in item.ranks],
            "first": [-float(place) for place in range(len(item.ranks))],
            "last": [float(place) for place in range(len(item.ranks))],
            "nearly": [1e6 + (1e-9 if chance.random() < 0.5 else 0.0) * rank for rank in item.ranks],
        }
        made.append(tuple(rows[kind]))
    return made


def measured(data: SuiteData, rewards: Rewards) -> SuiteReport:
    return measure(data, [GivenRewards(one) for one in rewards], SETTING)


def check(
    data: SuiteData, records: list[Record], plain: Callable[..., dict[str, float]], kinds: Sequence[str] = KINDS
) -> None:
    """Rewards of these kinds give the plain numbers, and nothing but ties counts as tied."""
    for kind in kinds:
        rewards = rewards_of(data, kind)
        report = measured(data, rewards)
        expected = plain(records, rewards)
        assert expected == {name: pytest.approx(report.numbers[name].value, abs=1e-12) for name in expected}, kind
        assert set(report.numbers) - set(expected) <= {f"subset/{name}" for name in report.categories}, kind
        for number in report.numbers.values():
            assert number.right is None or number.value == number.right / number.out_of
            assert number.interval.low <= number.value + 1e-12 and number.value <= number.interval.high + 1e-12
        if kind in ("ties", "right", "wrong"):
            assert {round(one.value, 12) for one in report.numbers.values()} == {1.0 if kind == "right" else 0.0}
            assert report.tied_pairs == (report.num_pairs if kind == "ties" else 0)


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], SuiteData]:
    """Each toy, read once."""
    root = tmp_path_factory.mktemp("suites")
    return cache(lambda name: open_suite(SUITES[name], str(write_suite(root, name))))


@pytest.mark.parametrize("name", TOYS)
def test_numbers_of_toys_are_plain_arithmetic(name: str, toys: Callable[[str], SuiteData]) -> None:
    check(toys(name), TOYS[name][1](), PLAIN[name], kinds=KINDS if name == "mm_rlhf_rewardbench" else ("random",))


def test_prior_sets_count_apart(tmp_path: Path) -> None:
    records = rewardbench(prior_sets=True)
    data = open_suite(SUITES["rewardbench"], str(write_suite(tmp_path, "rewardbench", records)))
    rewards = rewards_of(data, "random")
    report = measured(data, rewards)
    alone = plain_rewardbench(records[:-20], rewards[:-20])["overall"]
    assert report.numbers["overall"].value == pytest.approx(alone, abs=1e-12)
    expected = plain_rewardbench(records, rewards)
    assert expected == {name: pytest.approx(report.numbers[name].value, abs=1e-12) for name in expected}
    assert [label for label, _ in report.table()] == ["without prior sets", "with prior sets"]


WRONG: list[tuple[str, Callable[[Sequence[SuiteItem]], Sequence[SuiteItem]], str]] = [
    ("mm_rlhf_rewardbench", lambda items: items[1:], "41 rows of mcq, not 42"),
    ("mm_rlhf_rewardbench", lambda items: [replace(one, id="one") for one in items], "1 different ids, not 46"),
    ("mm_rlhf_rewardbench", lambda items: [*items, replace(items[0], category="x")], "1 rows of x, not 0"),
    ("vl_rewardbench", lambda items: items[:1249], "1,249 rows, not 1,250 (or 1,247)"),
    (
        "vl_rewardbench",
        lambda items: [replace(one, id=one.id.replace("RLHF-V", "rlhf-v")) for one in items],
        "416 rows of general in the r1_legacy groups, not 484",
    ),
    (
        "vl_rewardbench",
        lambda items: [replace(one, id=str(one.index)) for one in items],
        "1,250 different ids, not 1,225",
    ),
    (
        "vl_rewardbench",
        lambda items: [replace(one, ranks=(0, 0)) if one.index == 4 else one for one in items],
        "human_ranking of 1 rows ranks no two responses, first in row 4",
    ),
    (
        "vl_rewardbench",
        lambda items: [replace(one, category="general") if one.index == 3 else one for one in items[3:]],
        "184 rows of general, more than 183",
    ),
    ("multimodal_rewardbench", lambda items: items[:-1], "508 rows of bias and 1,197 of vqa, not 1,706 together"),
    ("multimodal_rewardbench", lambda items: items[5:], "618 rows of correctness, not 623"),
    ("multimodal_rewardbench", lambda items: [*items, replace(items[0], category="toxicity")], "1 rows of toxicity"),
    ("multimodal_rewardbench", lambda items: [*items, replace(items[0], category="x")], "the unknown category 'x'"),
    ("rewardbench", lambda items: items[1:], "99 rows of alpacaeval-easy, not 100"),
    ("rewardbench", lambda items: [*items, replace(items[0], category="mine")], "the unknown subset 'mine'"),
    (
        "rewardbench",
        lambda items: [one for one in items if one.category != "xstest-should-refuse"],
        "0 and 250 rows of xstest-should-refuse and xstest-should-respond, not 154 and 250",
    ),
    ("rm_bench", lambda items: items[:-1], "156 rows of safety-response, not 157"),
    ("rm_bench", lambda items: items[:1170], "one of safety-refuse and safety-response without the other"),
    ("rm_bench", lambda items: [*items, replace(items[0], category="law")], "the unknown domain 'law'"),
]


@pytest.mark.parametrize(("name", "change", "said"), WRONG, ids=[said.replace(" ", "-") for _, _, said in WRONG])
def test_other_counts_are_said(name: str, change: Any, said: str, toys: Callable[[str], SuiteData]) -> None:
    items = toys(name).items
    assert SUITES[name].differs(items) == []
    assert said in "; ".join(SUITES[name].differs(change(items)))


def test_the_later_revision_of_vl_rewardbench_is_known(toys: Callable[[str], SuiteData]) -> None:
    assert SUITES["vl_rewardbench"].differs(toys("vl_rewardbench").items[3:]) == []


def real(path: str) -> list[Record]:
    url = REAL / path
    if not url.exists():
        pytest.skip(f"{url} is not here; set BASEREWARD_REAL_DATA to the folder of the real sets")
    text = url.read_text(encoding="utf8")
    rows: list[Any] = json.loads(text) if path.endswith(".json") else [json.loads(line) for line in text.splitlines()]
    return rows


def test_real_mm_rlhf_rewardbench() -> None:
    records = real("mm_rlhf_rewardbench/mm_reward_bench.jsonl")
    check(open_suite(SUITES["mm_rlhf_rewardbench"], str(REAL / "mm_rlhf_rewardbench")), records, plain_mm_rlhf)


def test_real_vl_rewardbench() -> None:
    records = real("vl_rewardbench/data.json")
    data = open_suite(SUITES["vl_rewardbench"], str(REAL / "vl_rewardbench"))
    check(data, records, plain_vl)
    report = measured(data, rewards_of(data, "first"))
    assert report.numbers["overall"].right == 1245  # who always says "first" would be right


def test_real_rm_bench() -> None:
    names = ("chat", "code", "safety-refuse", "safety-response")
    parts = {name: real(f"rm_bench/{name}_filtered.json") for name in names}
    records = [record for rows in parts.values() for record in rows]
    domains = [name for name, rows in parts.items() for _ in rows]
    data = open_suite(SUITES["rm_bench"], str(REAL / "rm_bench"))
    assert len(data.items) == 798
    check(data, records, lambda rows, rewards: plain_rm_bench(rows, rewards, domains))
    assert "math" not in measured(data, rewards_of(data, "right")).numbers


def with_counts(data: SuiteData, right: dict[str, int]) -> Rewards:
    """Rewards by which so many rows of each group of R1-Reward are right, the first ones."""
    left = dict(right)
    rewards: Rewards = []
    for item in data.items:
        name = item.id
        group = "general" if name.startswith(("RLHF", "RLAIF")) else item.category
        left[group] -= 1
        sign = 1.0 if left[group] >= 0 else -1.0
        rewards.append(tuple(-sign * rank for rank in item.ranks))
    return rewards


@pytest.mark.parametrize(
    ("right", "printed"),
    [
        # R1-Reward; its Macro is printed as 71.44, the mean of the three rounded numbers.
        ({"general": 309, "hallucination": 384, "reasoning": 206}, ["63.84", "85.71", "64.78", "71.92", "71.45"]),
        # BaseReward on Qwen2.5-VL, whose row exchanges General and Reason.
        ({"general": 396, "hallucination": 413, "reasoning": 218}, ["81.82", "92.19", "68.55", "82.16", "80.85"]),
    ],
)
def test_published_counts_give_the_published_row(
    right: dict[str, int], printed: list[str], toys: Callable[[str], SuiteData]
) -> None:
    data = toys("vl_rewardbench")
    rows = dict(measured(data, with_counts(data, right)).table())
    assert [f"{100 * (value or 0):.2f}" for value in rows["groups of R1-Reward"]] == printed
    assert rows["official groups"] != rows["groups of R1-Reward"]


def test_rows_without_rewards_are_wrong_and_counted(toys: Callable[[str], SuiteData]) -> None:
    data = toys("mm_rlhf_rewardbench")
    given = [GivenRewards(one) for one in rewards_of(data, "right")]
    given[:17] = [GivenRewards(None, "too_long: 9000 tokens")] * 17
    report = measure(data, given, SETTING)
    assert report.not_scored == {"too_long": 17}
    assert (report.numbers["acc"].right, report.numbers["acc"].out_of) == (153, 170)
    assert report.numbers["acc_plus"].right == 36  # the 17 touch all ten ids of mcq
    assert report.pairs is not None and report.pairs.num_comparisons == 153


def test_neither_the_order_of_rows_nor_of_responses_changes_a_number(toys: Callable[[str], SuiteData]) -> None:
    data = toys("vl_rewardbench")
    rewards = rewards_of(data, "random")
    order = list(range(len(rewards)))
    random.Random(1).shuffle(order)
    turned = replace(
        data, items=tuple(replace(data.items[place], ranks=data.items[place].ranks[::-1]) for place in order)
    )
    one, two = measured(data, rewards).numbers, measured(turned, [rewards[place][::-1] for place in order]).numbers
    same = [name for name in one if not name.startswith("distinct")]  # it keeps the first row of an id
    assert {name: one[name].value for name in same} == {name: two[name].value for name in same}
