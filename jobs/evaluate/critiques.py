"""A split scored by a critic that writes its critiques: what it wrote is kept, a part of the split after the other.

    rows --parts of 16--> scoring_actors -> critiques/SPLIT.jsonl: a line each -> ScoredComparison, WritingCost

Writing takes far longer than scoring, so a killed command goes on with the part that it was in, as `score` does. A line
has ``rewards``, ``critiques`` (for each response), ``critique_tokens``, ``critique_seconds`` and ``scoring_seconds``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_pipeline import storage
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.sources.readers.files import RowRange, read_rows
from jobs.evaluate.prepare import Evaluation
from jobs.evaluate.score_parts import Part, PartsFolder
from jobs.evaluate.scoring_actors import ScoringPool
from jobs.runtime.terminal import progress
from rm_core.generation.config import CritiquesConfig
from rm_core.model_folder.folder import marker_sha256
from rm_core.model_folder.remote import local_model
from rm_core.scoring.cost import ScoringCost
from rm_core.scoring.critic import CritiquedRow
from rm_core.scoring.scored import ScoredComparison
from rm_core.scoring.scorer import scored_item

__all__ = ["CRITIQUES_FOLDER", "WritingCost", "job_of_critiques", "score_written"]

CRITIQUES_FOLDER = "critiques"
"""Below ``evaluate.output``."""
ROWS_A_PART = 16
"""Comparisons of which critiques are written again where a command is killed on the way."""
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class WritingCost:
    """What writing came to.

    Attributes:
        items: Comparisons.
        critiques: that were written, without those about blanked images.
        cut: of these, the ones that did not end by themselves.
        tokens: of all of them.
        seconds: that writing took, on one process.
        scoring_seconds: that scoring them took.
    """

    items: int
    critiques: int
    cut: int
    tokens: int
    seconds: float
    scoring_seconds: float

    def facts(self) -> dict[str, str]:
        """In words, for a page and the terminal."""
        return {
            "critiques written": f"{self.critiques:,} of {self.items:,} Comparisons; {self.cut:,} were cut",
            "tokens written": f"{self.tokens:,}, {self.tokens / max(1, self.items):.1f} a Comparison",
            "seconds of writing": f"{self.seconds / max(1, self.items):.3g} a Comparison, on one process",
        }

    @property
    def whole(self) -> ScoringCost:
        """Of writing and scoring."""
        return ScoringCost(items=self.items, written_tokens=self.tokens, seconds=self.seconds + self.scoring_seconds)

    def numbers(self) -> dict[str, float]:
        """For MLflow."""
        return {
            "critique_tokens": self.tokens / max(1, self.items),
            "critique_seconds": self.seconds / max(1, self.items),
            "critiques_cut": self.cut / max(1, self.critiques),
        }


def job_of_critiques(config: CritiquesConfig) -> dict[str, Any]:
    """What of them decides rewards; nothing where they are given."""
    return {} if config.source == "given" else {"critiques": config.deciding()}


def score_written(
    evaluation: Evaluation, data: PreparedData, pool: ScoringPool, rows: Sequence[int]
) -> tuple[list[ScoredComparison], WritingCost]:
    """The rows' rewards in their order, and what writing came to.

    Raises:
        RunError: a scoring process died; what is done is kept.
    """
    config = evaluation.config
    url = storage.join(config.output, CRITIQUES_FOLDER, f"{config.split}.jsonl")
    job = {
        "format": _FORMAT, "data": data.manifest.fingerprint, "split": config.split, "rows": len(rows),
        "model": marker_sha256(local_model(config.model)), "blank_images": config.blank_images,
        **job_of_critiques(config.critiques),
    }  # fmt: skip
    folder = PartsFolder(url, job)
    if folder.finished() is None:
        parts = [RowRange(start, min(ROWS_A_PART, len(rows) - start)) for start in range(0, len(rows), ROWS_A_PART)]
        done = folder.open()
        _write_missing(folder, [part for part in parts if part.start not in done], pool, rows, config.blank_images)
        folder.publish(parts)
    lines = [dict(record) for _, record in read_rows(url) if isinstance(record, Mapping)]
    return [_scored(data, row, line) for row, line in zip(rows, lines, strict=True)], _cost(lines)


def _write_missing(
    folder: PartsFolder, missing: Sequence[RowRange], pool: ScoringPool, rows: Sequence[int], blank_images: bool
) -> None:
    if not missing:
        return
    left = sum(part.count for part in missing)
    chunks = [rows[part.start : part.start + part.count] for part in missing]
    with progress("write and score", len(rows), already := len(rows) - left) as advance:
        for part, found in zip(missing, pool.critiqued(chunks, blank_images=blank_images), strict=True):
            kept = Part(part)
            for text in _texts(part, found):
                kept.add(text, None)
            folder.write(kept, {})
            already += part.count
            advance(already, "")


def _texts(part: RowRange, found: Sequence[CritiquedRow]) -> Iterator[str]:
    for place, one in enumerate(found, start=part.start):
        line = {"row": place, "source": one.source, "id": one.id, "rewards": list(one.critiqued.rewards)}
        line |= one.critiqued.fields()
        line["blank_rewards"] = None if one.blank_rewards is None else list(one.blank_rewards)
        yield json.dumps(line, ensure_ascii=False) + "\n"


def _scored(data: PreparedData, row: int, line: Mapping[str, Any]) -> ScoredComparison:
    blank = line["blank_rewards"]
    return scored_item(data.encoded(row), tuple(line["rewards"]), None if blank is None else tuple(blank))


def _cost(lines: Sequence[Mapping[str, Any]]) -> WritingCost:
    return WritingCost(
        items=len(lines),
        critiques=sum(len(texts) for line in lines for texts in line["critiques"]),
        cut=sum(line["critiques_cut"] for line in lines),
        tokens=sum(line["critique_tokens"] for line in lines),
        seconds=sum(line["critique_seconds"] for line in lines),
        scoring_seconds=sum(line.get("scoring_seconds", 0.0) for line in lines),  # earlier versions did not count them
    )
