"""MM-RLHF-RewardBench: 170 pairs in 46 groups of one id; four kinds of pictures, and videos.

Accuracy counts pairs, Acc+ ids of which every pair is right. A row's category is the first of the five names that is a
part of its path, as in the authors' script. Source: MM-RLHF (arXiv 2502.10391), and the scripts beside it.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from rm_core.evaluation.suites.outcomes import Bools, Outcomes, Part, SuiteNumber
from rm_core.evaluation.suites.suite import Layout, RawRow, Suite, SuiteItem, different_counts

__all__ = ["SUITE"]

_COUNTS = {"mcq": 42, "long": 37, "short": 34, "safety": 32, "video": 25}
_NUM_IDS = 46


def _category(row: RawRow) -> str:
    path = str(row.record.get("image") or row.record.get("video") or "")
    return next((name for name in _COUNTS if name in path), "other")


def _differs(items: Sequence[SuiteItem]) -> list[str]:
    found = Counter(item.category for item in items)
    wrong = different_counts(found, dict.fromkeys((*_COUNTS, *found), 0) | _COUNTS)
    ids = len({item.id for item in items})
    return wrong + ([] if ids == _NUM_IDS else [f"{ids} different ids, not {_NUM_IDS}"])


def _measure(outcomes: Outcomes) -> dict[str, SuiteNumber]:
    whole = _whole_ids(outcomes)
    numbers = {"acc": outcomes.number(outcomes.part()), "acc_plus": outcomes.number(whole)}
    for name in _COUNTS:
        numbers[name] = outcomes.number(outcomes.part(outcomes.among(name)))
    for name in _COUNTS:
        numbers[f"{name}/acc_plus"] = outcomes.number(_inside(whole, outcomes.among(name)))
    return numbers


def _whole_ids(outcomes: Outcomes) -> Part:
    """Counts each id once, at its first row: right where all its rows are."""
    first: dict[str, int] = {}
    right, out_of = np.zeros(len(outcomes.ids)), np.zeros(len(outcomes.ids))
    for place, name in enumerate(outcomes.ids):
        at = first.setdefault(name, place)
        is_right = bool(outcomes.right[place] == outcomes.pairs[place])
        right[at] = is_right if at == place else bool(right[at]) and is_right
        out_of[at] = 1
    return Part(right, out_of)


def _inside(part: Part, members: Bools) -> Part:
    return Part(part.right * members, part.out_of * members)


SUITE = Suite(
    name="mm_rlhf_rewardbench",
    title="MM-RLHF-RewardBench",
    shape="mm_rlhf",
    files=("mm_reward_bench.jsonl", "*.jsonl", "data/*.parquet", "*.parquet"),
    category=_category,
    differs=_differs,
    measure=_measure,
    layout=Layout(
        columns=("Mcq", "Long", "Short", "Safety", "Video", "Acc", "Acc+"),
        rows={"": (*_COUNTS, "acc", "acc_plus")},
        about="Acc counts the 170 pairs, Acc+ the 46 ids of which every pair is right.",
    ),
)
