"""VL-RewardBench: 1,250 pairs on one picture each, in three groups, and the two groupings that papers print.

``official``   the authors' groups, by the beginning of an id in lower case: general 183, hallucination 749,
               reasoning 318
``r1_legacy``  those of the scripts of R1-Reward, which also BaseReward used: they look for "rlhf" and "rlaif" in ids
               that have "RLHF-V" and "RLAIF-V", so that 301 hallucination pairs count as general: 484, 448, 318

Macro, the mean of the three groups, differs between them; overall does not. 25 ids stand twice, on other answers;
``distinct`` counts the first row of each of the 1,225 ids only, as some published rows do. A later revision of the set
has 1,247 rows.

The label is ``human_ranking``. Source: VL-RewardBench (arXiv 2411.17451).
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from rm_core.evaluation.suites.outcomes import Bools, Outcomes, SuiteNumber
from rm_core.evaluation.suites.suite import Layout, RawRow, Suite, SuiteItem

__all__ = ["SUITE", "official_group"]

GROUPS = ("general", "hallucination", "reasoning")
_OFFICIAL = {"general": 183, "hallucination": 749, "reasoning": 318}
_R1_LEGACY = {"general": 484, "hallucination": 448, "reasoning": 318}
_NUM_ROWS, _NUM_IDS, _NUM_ROWS_LATER = 1250, 1225, 1247
_BEGINNINGS = {
    "hallucination": "hallucination", "rlhf": "hallucination", "rlaif": "hallucination",
    "mathverse": "reasoning", "mmmu": "reasoning",
}  # fmt: skip


def official_group(item_id: str) -> str:
    """``RLAIF-V-8`` -> hallucination, ``mmmu_pro_vision_3`` -> reasoning, any other beginning -> general."""
    return _BEGINNINGS.get(_beginning(item_id.lower()), "general")


def _r1_legacy_group(item_id: str) -> str:
    """As the scripts of R1-Reward do, which miss ids in capital letters."""
    if "rlhf" in item_id or "rlaif" in item_id:
        return "hallucination"
    return _BEGINNINGS.get(_beginning(item_id), "general")


def _beginning(item_id: str) -> str:
    """``mmmu_pro_3`` -> mmmu, ``RLHF-V-1`` -> RLHF."""
    return re.split("[-_]", item_id, maxsplit=1)[0]


def _category(row: RawRow) -> str:
    return official_group(row.id)


def _differs(items: Sequence[SuiteItem]) -> list[str]:
    official = Counter(item.category for item in items)
    legacy = Counter(_r1_legacy_group(item.id) for item in items)
    if len(items) == _NUM_ROWS_LATER:
        # Which three rows were taken out is not published: no group may have more than it had.
        more = [name for name in GROUPS if official[name] > _OFFICIAL[name] or legacy[name] > _R1_LEGACY[name]]
        return [f"{official[name]} rows of {name}, more than {_OFFICIAL[name]}" for name in more] + _unordered(items)
    found = [] if len(items) == _NUM_ROWS else [f"{len(items):,} rows, not {_NUM_ROWS:,} (or {_NUM_ROWS_LATER:,})"]
    ids = len({item.id for item in items})
    found += [] if ids == _NUM_IDS else [f"{ids:,} different ids, not {_NUM_IDS:,}"]
    for name, (groups, expected) in {"official": (official, _OFFICIAL), "r1_legacy": (legacy, _R1_LEGACY)}.items():
        found += [
            f"{groups[group]} rows of {group} in the {name} groups, not {expected[group]}"
            for group in GROUPS
            if groups[group] != expected[group]
        ]
    return found + _unordered(items)


def _unordered(items: Sequence[SuiteItem]) -> list[str]:
    wrong = [item.index for item in items if sorted(item.ranks) != [0, 1]]
    return [f"human_ranking of {len(wrong)} rows ranks no two responses, first in row {wrong[0]}"] if wrong else []


def _measure(outcomes: Outcomes) -> dict[str, SuiteNumber]:
    legacy = np.array([_r1_legacy_group(name) for name in outcomes.ids], dtype=np.str_)
    numbers = {"overall": outcomes.number(outcomes.part())}
    numbers |= _grouped(outcomes, outcomes.categories, "official")
    numbers |= _grouped(outcomes, legacy, "r1_legacy")
    first = _first_rows(outcomes.ids)
    numbers["distinct/overall"] = outcomes.number(outcomes.part(first))
    numbers |= _grouped(outcomes, legacy, "distinct/r1_legacy", first)
    return numbers


def _grouped(outcomes: Outcomes, groups: Any, name: str, among: Bools | None = None) -> dict[str, SuiteNumber]:
    """The three groups and their mean."""
    parts = {
        group: outcomes.part((groups == group) if among is None else (groups == group) & among) for group in GROUPS
    }
    found = {f"{name}/macro": outcomes.mean(list(parts.values()))}
    return found | {f"{name}/{group}": outcomes.number(part) for group, part in parts.items()}


def _first_rows(ids: Sequence[str]) -> Bools:
    """Whether no row above has the same id, [N]."""
    seen: set[str] = set()
    found = np.zeros(len(ids), dtype=np.bool_)
    for place, name in enumerate(ids):
        found[place] = name not in seen
        seen.add(name)
    return found


def _row(grouping: str, overall: str = "overall") -> tuple[str, ...]:
    return (*(f"{grouping}/{group}" for group in GROUPS), overall, f"{grouping}/macro")


SUITE = Suite(
    name="vl_rewardbench",
    title="VL-RewardBench",
    shape="vl_rewardbench",
    files=("data.json", "*.json", "*.jsonl", "data/test*.parquet", "data/*.parquet", "*.parquet"),
    category=_category,
    differs=_differs,
    measure=_measure,
    layout=Layout(
        columns=("General", "Halluc", "Reason", "Overall", "Macro"),
        rows={
            "official groups": _row("official"),
            "groups of R1-Reward": _row("r1_legacy"),
            "groups of R1-Reward, first row of each id": _row("distinct/r1_legacy", "distinct/overall"),
        },
        about="The official groups hold 183, 749 and 318 pairs, those of R1-Reward 484, 448 and 318: compare General, "
        "Halluc and Macro within one grouping only.",
    ),
)
