"""Tasks as raw files in the public shapes, with bad records planted among them.

::

    rlaif_v/rlaif_v.parquet       pairs, picture inside the row           30 %
    vlfeedback/vlfeedback.jsonl   K = 4 rated, vlfeedback/images/*.jpg    15 %
    captions/captions.jsonl       K = 3 scored, captions/images/*.png     15 %
    ultrafeedback/ultrafeedback.jsonl   K = 4 rated, text only            20 %
    pairs/pairs.jsonl             pairs, text only                        20 %

Bad records come on top of `num_comparisons`, at even distances, and never first in a file. With critiques there are the
last three sources alone, whose shapes have a place for them; with reasonings captions and pairs.
"""

import io
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline import storage
from data_pipeline.config import SourceConfig
from data_pipeline.synthetic import records
from data_pipeline.synthetic.records import Raw
from data_pipeline.synthetic.tasks import (
    Task,
    critique,
    reasoning,
    text_pair_task,
    text_task,
    visual_pair_task,
    visual_task,
)

__all__ = ["SyntheticReport", "write_synthetic"]

_MIN_COMPARISONS = 20  # every source gets some
_MAX_COMPARISONS = 10_000  # there are 4,824 different text pairs, and a fifth of all comparisons are text pairs
_BAD_EVERY = 200  # one round of bad records for each so many comparisons, at least one


@dataclass(frozen=True, kw_only=True)
class SyntheticReport:
    """What was written: `good[source]` comparisons to keep and `planted[reason]` records to refuse.

    Rows in the files are sum(good) + sum(planted). Paths in `sources` are relative to the folder written.
    """

    good: dict[str, int]
    planted: dict[str, int]
    sources: list[SourceConfig]


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """One source: its share of the comparisons, its tasks and records, and the bad records it gets."""

    name: str
    share: float
    shape: str
    file: str
    draw: Callable[[random.Random], Task]
    record: Callable[[Task, str], Raw]
    bad: dict[str, Callable[[Raw], Raw]]
    has_critiques: bool = True
    has_reasonings: bool = False


_PLANS = (
    _Plan(
        name="rlaif_v",
        share=0.30,
        shape="rlaif_v",
        file="rlaif_v/rlaif_v.parquet",
        draw=visual_pair_task,
        record=records.rlaif_v,
        bad={"broken_image": records.truncate_image},
        has_critiques=False,
    ),
    _Plan(
        name="vlfeedback",
        share=0.15,
        shape="vlfeedback",
        file="vlfeedback/vlfeedback.jsonl",
        draw=lambda rng: visual_task(rng, rng.choice(((2, 1, 1, 0), (2, 1, 0, 0)))),
        record=records.vlfeedback,
        bad={"missing_media": records.lose_image, "unparsable_label": records.spoil_ratings},
        has_critiques=False,
    ),
    _Plan(
        name="captions",
        share=0.15,
        shape="jsonl",
        file="captions/captions.jsonl",
        draw=lambda rng: visual_task(rng, (2, 1, 0)),
        record=records.captions,
        bad={"malformed_record": records.cut_line, "no_preference": records.level_scores},
        has_reasonings=True,
    ),
    _Plan(
        name="ultrafeedback",
        share=0.20,
        shape="ultrafeedback",
        file="ultrafeedback/ultrafeedback.jsonl",
        draw=lambda rng: text_task(rng, rng.choice(((2, 1, 1, 0), (2, 1, 0, 0)))),
        record=records.ultrafeedback,
        bad={"empty_response": records.empty_completion},
    ),
    _Plan(
        name="pairs",
        share=0.20,
        shape="jsonl",
        file="pairs/pairs.jsonl",
        draw=text_pair_task,
        record=records.pairs,
        bad={"identical_responses": records.repeat_chosen, "missing_field": records.drop_rejected},
        has_reasonings=True,
    ),
)


def write_synthetic(
    folder: str,
    *,
    num_comparisons: int,
    seed: int,
    wrong_critiques: float | None = None,
    wrong_reasonings: float | None = None,
) -> SyntheticReport:
    """Write the raw files of a synthetic preference set below `folder`; the same bytes for the same arguments.

    Args:
        folder: where to write; files of the same name are replaced.
        num_comparisons: good records over all sources, 20 to 10,000; about 60 % have a picture.
        seed: another seed draws another set.
        wrong_critiques: every answer gets a critique, and this share of them is wrong about the answer, 0 to 1; None:
            there are none.
        wrong_reasonings: likewise of reasonings about each pair of answers, in an order that is drawn.

    Raises:
        ValueError: `num_comparisons` is out of range.
    """
    if not _MIN_COMPARISONS <= num_comparisons <= _MAX_COMPARISONS:
        raise ValueError(f"num_comparisons must be {_MIN_COMPARISONS} to {_MAX_COMPARISONS}, got {num_comparisons}")
    good: dict[str, int] = {}
    planted: Counter[str] = Counter()
    plans = [
        plan
        for plan in _PLANS
        if (wrong_critiques is None or plan.has_critiques) and (wrong_reasonings is None or plan.has_reasonings)
    ]
    num_bad = max(1, num_comparisons // _BAD_EVERY)
    for plan, count in zip(plans, _shares(num_comparisons, plans), strict=True):
        good[plan.name] = count
        planted.update(_write_source(folder, plan, count, num_bad, seed, wrong_critiques, wrong_reasonings))
    sources = [SourceConfig(name=plan.name, path=plan.file, shape=plan.shape) for plan in plans]
    return SyntheticReport(good=good, planted=dict(planted), sources=sources)


def _shares(total: int, plans: Sequence[_Plan]) -> list[int]:
    """`total` cut by share; the last source takes what rounding leaves."""
    whole = sum(plan.share for plan in plans) if len(plans) < len(_PLANS) else 1.0
    counts = [int(total * plan.share / whole) for plan in plans]
    counts[-1] += total - sum(counts)
    return counts


def _write_source(
    folder: str,
    plan: _Plan,
    num_good: int,
    num_bad: int,
    seed: int,
    wrong_critiques: float | None,
    wrong_reasonings: float | None,
) -> dict[str, int]:
    """Write one source's file and pictures; returns the bad records in it by reason."""
    rng, critics_rng = random.Random(f"{seed}/{plan.name}"), random.Random(f"{seed}/{plan.name}/critiques")
    judges_rng = random.Random(f"{seed}/{plan.name}/reasonings")
    reasons = [reason for reason in plan.bad for _ in range(num_bad)]
    tasks = _distinct_tasks(rng, plan, num_good + len(reasons))
    step = max(1, len(tasks) // len(reasons))
    spoiled_at = {i * step + step // 2: reason for i, reason in enumerate(reasons)}
    rows: list[Raw] = []
    for number, task in enumerate(tasks):
        raw = plan.record(task, f"{number:06d}")
        if wrong_critiques is not None:
            raw = records.criticised(raw, task, partial(critique, critics_rng, wrong_share=wrong_critiques))
        if wrong_reasonings is not None:
            thought = partial(reasoning, judges_rng, wrong_share=wrong_reasonings)
            raw = records.reasoned(raw, task, thought, lambda: judges_rng.random() < 0.5)
        reason = spoiled_at.get(number)
        rows.append(plan.bad[reason](raw) if reason else raw)
    base = storage.join(folder, storage.parent_of(plan.file))
    for raw in rows:
        for name, data in raw.files.items():
            storage.write_atomic(storage.join(base, name), data)
    encode = _parquet if plan.file.endswith(".parquet") else _json_lines
    storage.write_atomic(storage.join(folder, plan.file), encode(rows))
    return dict(Counter(reasons))


def _distinct_tasks(rng: random.Random, plan: _Plan, count: int) -> list[Task]:
    """No task twice, whatever its order of answers: a repeat would be dropped as a duplicate and spoil the counts."""
    tasks: dict[object, Task] = {}
    while len(tasks) < count:
        task = plan.draw(rng)
        tasks.setdefault((task.question, frozenset(task.answers), task.scene), task)
    return list(tasks.values())


def _json_lines(rows: list[Raw]) -> bytes:
    lines = [raw.line if raw.line is not None else json.dumps(raw.record, ensure_ascii=False) for raw in rows]
    return "".join(f"{line}\n" for line in lines).encode()


def _parquet(rows: list[Raw]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([raw.record for raw in rows]), buffer, row_group_size=256)
    return buffer.getvalue()
