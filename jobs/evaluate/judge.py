"""A judge in place of a model (`evaluate.judge`): rewards of a split's Comparisons, and of rows of suites.

    Comparisons with their pictures --judging--> judge/SPLIT.jsonl, suites/NAME.jsonl: a line each
      -> ScoredComparison, or what ``evaluate.rewards`` reads;  JudgeCounts

A Comparison of a split without a verdict has equal rewards, which are wrong. The lines outlast the command: the same
question is not asked again for another report, or for a larger `evaluate.limit`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from typing import Any

from data_pipeline import storage
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.errors import CorruptData, RecordError
from data_pipeline.records.comparison import Comparison, MediaRef
from data_pipeline.sources.readers.files import read_rows
from jobs.evaluate.judging import judge_items
from jobs.evaluate.prepare import Evaluation
from jobs.evaluate.score_parts import PartsFolder
from jobs.recipe.schema import EvaluateConfig, Recipe
from rm_core.evaluation.judge.config import JudgeConfig
from rm_core.evaluation.judge.endpoint_config import OF_HOW, key_of
from rm_core.evaluation.judge.kept import JudgeCounts, count_lines
from rm_core.evaluation.judge.questions import Asked
from rm_core.evaluation.suites.files import SuiteData
from rm_core.evaluation.suites.rows import SuiteRows
from rm_core.scoring.scored import ScoredComparison

__all__ = ["JUDGE_FOLDER", "judge_split", "judge_suite"]

JUDGE_FOLDER = "judge"
"""Below ``evaluate.output``."""
_FORMAT = 1


def judge_split(
    evaluation: Evaluation, data: PreparedData, rows: Sequence[int]
) -> tuple[list[ScoredComparison], JudgeCounts]:
    """The rows' rewards by the judge, in their order, and what asking came to.

    Raises:
        BaserewardError: the judge takes no question, or gives no answer; what is done is kept.
    """
    config = evaluation.config
    url = storage.join(config.output, JUDGE_FOLDER, f"{config.split}.jsonl")
    job = {"data": data.manifest.fingerprint, "split": config.split, **_job(config.judge)}
    tally = judge_items(
        f"judge {config.split}",
        len(rows),
        lambda places: (_of_split(data, place, rows[place]) for place in places),
        PartsFolder(url, job),
        config.judge,
        key_of(config.judge),
    )
    lines = _lines(url, len(rows))
    scored = [_scored(data, row, line["rewards"]) for row, line in zip(rows, lines, strict=True)]
    return scored, count_lines(lines, tally.repeated)


def judge_suite(recipe: Recipe, config: EvaluateConfig, data: SuiteData, url: str) -> JudgeCounts:
    """Write the rewards of all rows of a suite to `url`, as ``evaluate.rewards`` reads them.

    Raises:
        UserError: a picture is not there.
        BaserewardError: the judge takes no question, or gives no answer; what is done is kept.
    """
    media = recipe.preprocess.media
    rows = SuiteRows(data, media, without_pictures=config.missing_pictures == "without")
    job = {
        "suite": data.suite.name,
        "files": [storage.sha256_of(file) for file in data.files],
        "media_root": data.media_root,
        "missing_pictures": config.missing_pictures,
        "media": asdict(media),
        **_job(config.judge),
    }
    tally = judge_items(
        f"judge {data.suite.title}",
        len(data.items),
        lambda places: _of_suite(data.suite.name, rows, places),
        PartsFolder(url, job),
        config.judge,
        key_of(config.judge),
    )
    return count_lines(_lines(url, len(data.items)), tally.repeated)


def _of_suite(name: str, rows: SuiteRows, places: Sequence[int]) -> Iterator[Asked]:
    for row in rows.chosen(places):
        pictures = tuple(tuple(image.data for image in replace(row, media=(one,)).images) for one in row.media)
        yield Asked(place=row.index, fields=row.fields(name), comparison=row.comparison, pictures=pictures)


def _of_split(data: PreparedData, place: int, row: int) -> Asked:
    comparison = data.comparison(row)
    fields = {"row": place, "source": comparison.source, "id": comparison.id}
    return Asked(place=place, fields=fields, comparison=comparison, pictures=_pictures(comparison))


def _pictures(comparison: Comparison) -> tuple[tuple[bytes, ...], ...]:
    """The files of each of a Comparison's media, which came out of a shard."""
    return tuple(map(_files, comparison.media))


def _files(ref: MediaRef) -> tuple[bytes, ...]:
    if ref.frames:
        return ref.frames
    assert ref.data is not None, "a shard holds the pictures of its Comparisons"
    return (ref.data,)


def _scored(data: PreparedData, row: int, rewards: Sequence[float] | None) -> ScoredComparison:
    item = data.encoded(row)
    return ScoredComparison(
        id=item.id,
        source=item.source,
        rewards=(0.0,) * len(item.ranks) if rewards is None else tuple(rewards),
        ranks=item.ranks,
        response_lengths=tuple(len(ids) for ids in item.response_ids),
        num_images=len(item.images),
    )


def _lines(url: str, count: int) -> list[dict[str, Any]]:
    """The first `count` kept lines: those of a larger `evaluate.limit` may follow."""
    found = []
    for row, record in islice(read_rows(url), count):
        if isinstance(record, RecordError):
            raise CorruptData(f"line {row + 1} of {url!r} was changed ({record}): the same command asks again")
        found.append(dict(record))
    return found


def _job(config: JudgeConfig) -> dict[str, Any]:
    """What of the judge decides its answers."""
    said = {name: value for name, value in asdict(config).items() if name not in OF_HOW}
    return {"format": _FORMAT, "judge": said}
