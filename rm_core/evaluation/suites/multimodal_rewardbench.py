"""Multimodal RewardBench: 4,711 released pairs in seven categories.

``micro`` counts all pairs, ``macro7`` is the unweighted mean of the seven categories: papers print either of them as
"Overall". Safety is split in bias (ids that begin "pairs") and toxicity, whose pictures were not released; the papers'
Safety is bias alone. Reasoning is split in math (ids that begin "math") and coding.

Source: Multimodal RewardBench (arXiv 2502.14191) and its script. How the 1,706 pairs of bias and vqa divide is not
published and not checked.
"""

from collections import Counter
from collections.abc import Sequence

from rm_core.evaluation.suites.outcomes import Outcomes, SuiteNumber
from rm_core.evaluation.suites.suite import Layout, RawRow, Suite, SuiteItem, different_counts, unknown_names

__all__ = ["SUITE"]

SEVEN = ("correctness", "preference", "knowledge", "math", "coding", "bias", "vqa")
_COUNTS = {"correctness": 623, "preference": 654, "knowledge": 630, "math": 514, "coding": 584}
_BIAS_AND_VQA = 1706
_TOXICITY = 500
_CATEGORIES = {
    "open_generation/correctness_task": "correctness",
    "open_generation/preference_task": "preference",
    "knowledge": "knowledge",
    "vqa": "vqa",
}


def _category(row: RawRow) -> str:
    name = str(row.record.get("Category", ""))
    if name == "reasoning":
        return "math" if row.id.startswith("math") else "coding"
    if name == "safety":
        return "bias" if row.id.startswith("pairs") else "toxicity"
    return _CATEGORIES.get(name, name or "none")


def _differs(items: Sequence[SuiteItem]) -> list[str]:
    found = Counter(item.category for item in items)
    wrong = different_counts(found, _COUNTS)
    both = found["bias"] + found["vqa"]
    if both != _BIAS_AND_VQA or not found["bias"] or not found["vqa"]:
        wrong.append(f"{found['bias']:,} rows of bias and {found['vqa']:,} of vqa, not {_BIAS_AND_VQA:,} together")
    if found["toxicity"] not in (0, _TOXICITY):
        wrong.append(f"{found['toxicity']:,} rows of toxicity, not 0 (as released) or {_TOXICITY}")
    return wrong + unknown_names(found, (*SEVEN, "toxicity"), "category")


def _measure(outcomes: Outcomes) -> dict[str, SuiteNumber]:
    parts = {name: outcomes.part(outcomes.among(name)) for name in SEVEN}
    numbers = {
        "micro": outcomes.number(outcomes.part(outcomes.among(*SEVEN))),
        "macro7": outcomes.mean(list(parts.values())),
    }
    numbers |= {name: outcomes.number(part) for name, part in parts.items()}
    toxicity = outcomes.part(outcomes.among("toxicity"))
    if toxicity.out_of.any():
        numbers["toxicity"] = outcomes.number(toxicity)
    return numbers


SUITE = Suite(
    name="multimodal_rewardbench",
    title="Multimodal RewardBench",
    shape="multimodal_rewardbench",
    files=("all_data.json", "data/all_data.json", "*.json", "*.jsonl", "*.parquet"),
    category=_category,
    differs=_differs,
    measure=_measure,
    layout=Layout(
        columns=("Overall", "Corr", "Pref", "Know", "Math", "Code", "Safety", "VQA"),
        rows={"mean of the seven": ("macro7", *SEVEN), "over all pairs": ("micro", *SEVEN)},
        about="Overall is the mean of the seven categories in most published rows, and the share of all pairs in those "
        "of BaseReward: compare it with the row of its kind only. Safety is bias alone.",
    ),
)
