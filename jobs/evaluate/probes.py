"""The split scored again with every picture, answer or prompt changed: `evaluate.diagnostics`.

    rows of the split -> parts of 256 -> chunks of 64 -> `scoring_actors` -> diagnostics/PROBE.jsonl, a line a row

Parts wait as those of `score` do, so a killed command goes on where it was, and the lines are the same for any number
of workers: who is shown whose pictures is decided by the rows, chunk by chunk, not by who scores them.
"""

from collections.abc import Sequence
from typing import Any

from data_pipeline import storage
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.sources.readers.files import RowRange
from jobs.evaluate.prepare import Evaluation
from jobs.evaluate.score import LINES_A_PART
from jobs.evaluate.score_parts import Part, PartsFolder
from jobs.evaluate.scoring_actors import ScoringPool
from jobs.runtime.terminal import progress
from rm_core.evaluation.diagnostics.pictures import BLOCK
from rm_core.evaluation.diagnostics.probes import Probed
from rm_core.evaluation.diagnostics.rows import probed_fields, read_probed
from rm_core.model_folder.folder import marker_sha256
from rm_core.model_folder.remote import local_model
from rm_core.scoring.lines import Line, line_of

__all__ = ["PROBES_FOLDER", "probe_split"]

PROBES_FOLDER = "diagnostics"
"""Below ``evaluate.output``."""
_FORMAT = 1


def probe_split(
    evaluation: Evaluation, data: PreparedData, pool: ScoringPool, rows: Sequence[int], whole: Sequence[int]
) -> dict[str, list[Probed]]:
    """Rewards of the rows after each change, by the probe's name, in the order of the rows.

    Args:
        rows: the first ones of `whole`.
        whole: the split.

    Raises:
        RunError: a scoring process died; what is done is kept.
    """
    config = evaluation.config
    found = {}
    for probe in dict.fromkeys(config.diagnostics):
        if probe == "blank_images" and config.blank_images:
            continue  # scored with everything else
        url = storage.join(config.output, PROBES_FOLDER, f"{probe}.jsonl")
        folder = PartsFolder(url, _job(evaluation, data, probe, len(rows)))
        if folder.finished() is None:
            _score(folder, pool, probe, rows, whole)
        found[probe] = read_probed(url, probe, len(rows))
    return found


def _score(folder: PartsFolder, pool: ScoringPool, probe: str, rows: Sequence[int], whole: Sequence[int]) -> None:
    """Score the parts that are left."""
    parts = [RowRange(start, min(LINES_A_PART, len(rows) - start)) for start in range(0, len(rows), LINES_A_PART)]
    done = folder.open()
    missing = [part for part in parts if part.start not in done]
    starts = [
        start for part in missing for start in range(part.start, part.start + part.count, BLOCK)
    ]  # a part begins where a block does
    chunks = [(rows[start : start + BLOCK], whole[start : start + BLOCK]) for start in starts]
    already = len(rows) - sum(part.count for part in missing)
    waiting = iter(missing)
    part: Part | None = None
    with progress(probe.replace("_", " "), len(rows), already) as advance:
        for start, found in zip(starts, pool.probed(probe, chunks) if chunks else (), strict=True):
            part = part or Part(next(waiting))
            for place, one in enumerate(found, start):
                part.add(*line_of(Line(probed_fields(place, one), None, one.error or None), one.rewards))
            already += len(found)
            advance(already, "")
            if len(part.texts) == part.rows.count:
                folder.write(part, {})
                part = None
    folder.publish(parts)


def _job(evaluation: Evaluation, data: PreparedData, probe: str, count: int) -> dict[str, Any]:
    """Everything that decides the lines."""
    return {
        "format": _FORMAT,
        "probe": probe,
        "data": data.manifest.fingerprint,
        "split": evaluation.config.split,
        "rows": count,
        "model": marker_sha256(local_model(evaluation.config.model)),
        "token_budget": evaluation.config.token_budget,
    }
