"""A split scored by a model that writes first, a critic or a judge that reasons: what it wrote is kept, a part of the
split after the other.

    rows --parts of 16--> scoring_actors -> critiques/SPLIT.jsonl, verdicts/SPLIT.jsonl: a line each
      -> ScoredComparison, WritingCost

Writing takes far longer than scoring, so a killed command goes on with the part that it was in, as `score` does. A line
has ``rewards`` and what the model made: see `Critiqued.fields` and `JudgedOnce.fields`. Where a judge gave no verdict
that can be read, it has ``rewards: null`` and ``error``, and the rewards that are measured are equal, which is wrong.
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
from rm_core.generation.config import CritiquesConfig, VerdictsConfig
from rm_core.model_folder.folder import marker_sha256
from rm_core.model_folder.remote import local_model
from rm_core.scoring.cost import ScoringCost
from rm_core.scoring.scored import ScoredComparison
from rm_core.scoring.scorer import scored_item
from rm_core.scoring.written import WrittenRow

__all__ = ["CRITIQUES", "VERDICTS", "WritingCost", "job_of_writing", "score_written"]

CRITIQUES, VERDICTS = "critiques", "verdicts"
"""What was written: folders below ``evaluate.output``, and fields of lines."""
ROWS_A_PART = 16
"""Comparisons that are written about again where a command is killed on the way."""
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class WritingCost:
    """What writing came to.

    Attributes:
        kind: `CRITIQUES` or `VERDICTS`.
        items: Comparisons.
        texts: that were written, without those about blanked images.
        cut: of these, the ones that did not end by themselves.
        unread: of these, the ones without a verdict that can be read, where they are verdicts.
        without: Comparisons without rewards.
        tokens: of all texts.
        seconds: that writing took, on one process.
        scoring_seconds: that scoring took behind it, where it is apart.
    """

    kind: str
    items: int
    texts: int
    cut: int
    unread: int
    without: int
    tokens: int
    seconds: float
    scoring_seconds: float

    @property
    def whole(self) -> ScoringCost:
        """Of writing and scoring."""
        return ScoringCost(items=self.items, written_tokens=self.tokens, seconds=self.seconds + self.scoring_seconds)

    def facts(self) -> dict[str, str]:
        """In words, for a page and the terminal."""
        facts = {
            f"{self.kind} written": f"{self.texts:,} of {self.items:,} Comparisons; {self.cut:,} were cut",
            "tokens written": f"{self.tokens:,}, {self.tokens / max(1, self.items):.1f} a Comparison",
            "seconds of writing": f"{self.seconds / max(1, self.items):.3g} a Comparison, on one process",
        }
        if self.kind == VERDICTS:
            lost = f"{self.without:,} Comparisons have no rewards by them, and count as wrong"
            facts["texts without a verdict"] = f"{self.unread:,}; none was taken for one; {lost}"
        return facts

    def numbers(self) -> dict[str, float]:
        """For MLflow."""
        one = self.kind.removesuffix("s")
        numbers = {
            f"{one}_tokens": self.tokens / max(1, self.items),
            f"{one}_seconds": self.seconds / max(1, self.items),
            f"{self.kind}_cut": self.cut / max(1, self.texts),
        }
        if self.kind == VERDICTS:
            numbers["verdicts_unread"] = self.unread / max(1, self.texts)
        return numbers


def job_of_writing(critiques: CritiquesConfig, verdicts: VerdictsConfig) -> dict[str, Any]:
    """What of them decides rewards; nothing where critiques are given, and verdicts asked as by themselves."""
    said = {} if critiques.source == "given" else {CRITIQUES: critiques.deciding()}
    asked = verdicts.deciding()
    return said if asked == VerdictsConfig().deciding() else said | {VERDICTS: asked}


def score_written(
    evaluation: Evaluation, data: PreparedData, pool: ScoringPool, rows: Sequence[int]
) -> tuple[list[ScoredComparison], WritingCost]:
    """The rows' rewards in their order, and what writing came to.

    Raises:
        RunError: a scoring process died; what is done is kept.
    """
    config = evaluation.config
    kind = CRITIQUES if config.critiques.source == "written" else VERDICTS
    url = storage.join(config.output, kind, f"{config.split}.jsonl")
    job = {
        "format": _FORMAT, "data": data.manifest.fingerprint, "split": config.split, "rows": len(rows),
        "model": marker_sha256(local_model(config.model)), "blank_images": config.blank_images,
        **job_of_writing(config.critiques, config.verdicts),
    }  # fmt: skip
    folder = PartsFolder(url, job)
    if folder.finished() is None:
        parts = [RowRange(start, min(ROWS_A_PART, len(rows) - start)) for start in range(0, len(rows), ROWS_A_PART)]
        done = folder.open()
        _write_missing(folder, [part for part in parts if part.start not in done], pool, rows, config.blank_images)
        folder.publish(parts)
    lines = [dict(record) for _, record in read_rows(url) if isinstance(record, Mapping)]
    return [_scored(data, row, line) for row, line in zip(rows, lines, strict=True)], _cost(kind, lines)


def _write_missing(
    folder: PartsFolder, missing: Sequence[RowRange], pool: ScoringPool, rows: Sequence[int], blank_images: bool
) -> None:
    if not missing:
        return
    left = sum(part.count for part in missing)
    chunks = [rows[part.start : part.start + part.count] for part in missing]
    with progress("write and score", len(rows), already := len(rows) - left) as advance:
        for part, found in zip(missing, pool.written(chunks, blank_images=blank_images), strict=True):
            kept = Part(part)
            for one, text in zip(found, _texts(part, found), strict=True):
                kept.add(text, one.made.error)
            folder.write(kept, {})
            already += part.count
            advance(already, "")


def _texts(part: RowRange, found: Sequence[WrittenRow]) -> Iterator[str]:
    for place, one in enumerate(found, start=part.start):
        rewards, error = one.made.rewards, one.made.error
        line: dict[str, Any] = {"row": place, "source": one.source, "id": one.id}
        line |= {"rewards": None, "error": error} if rewards is None else {"rewards": list(rewards)}
        line |= one.made.fields()
        line["blank_rewards"] = None if one.blank_rewards is None else list(one.blank_rewards)
        yield json.dumps(line, ensure_ascii=False) + "\n"


def _scored(data: PreparedData, row: int, line: Mapping[str, Any]) -> ScoredComparison:
    item, blank = data.encoded(row), line["blank_rewards"]
    rewards = (0.0,) * len(item.response_ids) if line["rewards"] is None else tuple(line["rewards"])
    return scored_item(item, rewards, None if blank is None else tuple(blank))


def _cost(kind: str, lines: Sequence[Mapping[str, Any]]) -> WritingCost:
    one = kind.removesuffix("s")
    return WritingCost(
        kind=kind,
        items=len(lines),
        texts=sum(len(of["texts"] if kind == VERDICTS else of) for line in lines for of in line[kind]),
        cut=sum(line[f"{kind}_cut"] for line in lines),
        unread=sum(line.get("verdicts_unread", 0) for line in lines),
        without=sum(line["rewards"] is None for line in lines),
        tokens=sum(line[f"{one}_tokens"] for line in lines),
        seconds=sum(line[f"{one}_seconds"] for line in lines),
        scoring_seconds=sum(line.get("scoring_seconds", 0.0) for line in lines),  # earlier versions did not count them
    )
