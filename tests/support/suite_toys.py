"""Toys of the five suites: rows of a few words with the published counts and shapes, written as a suite is found.

Labels stand in both orders, ids repeat where those of the suite do.
"""

import json
from pathlib import Path
from typing import Any

from rm_core.evaluation.suites.rewardbench import PRIOR_SETS, WEIGHTS

Record = dict[str, Any]


def mm_rlhf() -> list[Record]:
    """170 pairs in 46 ids: 10 ids of each kind, 6 of safety."""
    counts = {"mcq": (42, 10), "long": (37, 10), "short": (34, 10), "safety": (32, 6), "video": (25, 10)}
    return [
        {
            "id": f"{kind}-{row % ids}", "prompt": f"What is {kind} {row % ids}?", "chosen": f"Right {row}.",
            "rejected": f"Wrong, {row}.",
            **({"video": f"video/{row % ids}"} if kind == "video" else {"image": f"{kind}/{row % ids}.png"}),
        }
        for kind, (rows, ids) in counts.items()
        for row in range(rows)
    ]  # fmt: skip


def vl_rewardbench() -> list[Record]:
    """1,250 pairs, of which 25 reasoning ids stand twice."""
    names = [f"hallucination_pair-{n}" for n in range(448)] + [f"RLAIF-V-{n}" for n in range(233)]
    names += [f"RLHF-V-{n}" for n in range(68)] + [f"mathverse_{n % 142}" for n in range(167)]
    names += [f"mmmu_pro_{n}" for n in range(151)] + [f"wildvision-battle-{n}" for n in range(173)]
    names += [f"VLFeedback-{n}" for n in range(10)]
    return [
        {
            "id": name, "query": f"What is it, {name}?", "response": [f"A bus {row}.", f"Dogs {row}."],
            "image": f"images/{name}.png", "human_ranking": [1, 0] if row % 250 == 3 else [0, 1],
        }
        for row, name in enumerate(names)
    ]  # fmt: skip


def multimodal_rewardbench() -> list[Record]:
    """4,711 pairs."""
    parts = {
        ("open_generation/correctness_task", "visit"): 623, ("open_generation/preference_task", "nocaps"): 654,
        ("knowledge", "mmmu"): 630, ("reasoning", "math_vista"): 514, ("reasoning", "image2struct"): 584,
        ("safety", "pairs"): 508, ("vqa", "seed"): 1198,
    }  # fmt: skip
    return [
        {
            "ID": f"{name}_{row}", "Text": "What is it?", "Image": f"images/{name}/{row}.jpg",
            "Output1": f"A bus {row}.", "Output2": f"Dogs {row}.", "Better": "Output2" if row % 3 else "Output1",
            "Category": category,
        }
        for (category, name), rows in parts.items()
        for row in range(rows)
    ]  # fmt: skip


def rewardbench(*, prior_sets: bool = False) -> list[Record]:
    """2,985 pairs; with prior sets 5 of each more."""
    held = {**WEIGHTS, "math-prm": 447, "xstest-should-refuse": 154, "xstest-should-respond": 250}
    counts = held | (dict.fromkeys(PRIOR_SETS, 5) if prior_sets else {})
    rows = [(name, row) for name, rows in counts.items() for row in range(rows)]
    return [
        {
            "id": place, "prompt": f"Say {name} {row}.", "chosen": f"Right {place}.", "rejected": f"Wrong, {place}.",
            "chosen_model": "a", "rejected_model": "b", "subset": name,
        }
        for place, (name, row) in enumerate(rows)
    ]  # fmt: skip


def rm_bench(*, math: bool = True) -> list[Record]:
    """1,327 prompts, or 798 without math."""
    counts = {"chat": 129, "code": 228, "math": 529 * math, "safety-refuse": 284, "safety-response": 157}
    return [
        {
            "id": str(row), "domain": domain, "prompt": f"Say {domain} {row}.",
            "chosen": [f"Right {row} {style}." for style in range(3)],
            "rejected": [f"Wrong {row} {style}." for style in range(3)],
        }
        for domain, rows in counts.items()
        for row in range(rows)
    ]  # fmt: skip


TOYS = {
    "mm_rlhf_rewardbench": ("mm_reward_bench.jsonl", mm_rlhf),
    "vl_rewardbench": ("data.json", vl_rewardbench),
    "multimodal_rewardbench": ("all_data.json", multimodal_rewardbench),
    "rewardbench": ("filtered.jsonl", rewardbench),
    "rm_bench": ("total_dataset.json", rm_bench),
}


def write_suite(root: Path, name: str, records: list[Record] | None = None) -> Path:
    """The suite's folder below `root`, with these records or the toy's."""
    file, make = TOYS[name]
    rows = make() if records is None else records
    path = root / name / file
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows) if file.endswith(".jsonl") else json.dumps(rows)
    path.write_text(lines, encoding="utf8")
    return path.parent
