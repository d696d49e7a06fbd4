"""Published benchmarks scored by a model, or by rewards that are given: read -> score -> measure.

    evaluate.suites --open_suites--> SuiteData, counts checked, before anything is scored
      -> suites/NAME.jsonl   a line a row, scored as `score` does: in chunks, by parts that a killed run goes on from
      -> SuiteReport         by `rm_core.evaluation.suites`

Every row is scored once, whatever the number of workers: chunks are cut by the rows, not by who takes them. The lines
are also what ``evaluate.rewards`` reads.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from cluster.session import ClusterInfo
from data_pipeline import storage
from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import RecipeError, RunError
from data_pipeline.sources.readers.files import RowRange
from jobs.evaluate.prepare import reading_as
from jobs.evaluate.score import CHUNK_LINES, LINES_A_PART, chunks_of, score_parts
from jobs.evaluate.score_parts import PartsFolder
from jobs.evaluate.scoring_actors import ScoringJob, scored_chunks
from jobs.recipe.schema import EvaluateConfig, Recipe
from jobs.recipe.suites import open_named
from jobs.runtime.ray_session import open_cluster
from jobs.runtime.terminal import progress, say
from rm_core.evaluation.intervals import Resampling
from rm_core.evaluation.suites.files import SuiteData
from rm_core.evaluation.suites.given import GivenRewards, read_given
from rm_core.evaluation.suites.lines import SuiteReader
from rm_core.evaluation.suites.report import SuiteReport, measure, scored_of
from rm_core.model_folder.folder import marker_sha256
from rm_core.model_folder.remote import local_model
from rm_core.scoring.scored_file import SCORED_FILE, write_scored

__all__ = ["SUITES_FOLDER", "measure_suites", "open_suites"]

SUITES_FOLDER = "suites"
"""Below ``evaluate.output``."""
_FORMAT = 1


def open_suites(config: EvaluateConfig, elsewhere: Sequence[str] = ()) -> list[SuiteData]:
    """The suites that are asked for, each read and counted.

    Args:
        elsewhere: those that another section of the recipe asks for.

    Raises:
        RecipeError: it is not said where a suite is, or a name is no suite's.
        UserError: a suite is not there, or not as published.
    """
    for key, places in (("suite_folders", config.suite_folders), ("suite_media", config.suite_media)):
        for name in places:
            if name not in (*config.suites, *elsewhere):
                asked = ", ".join(config.suites) or "none"
                raise RecipeError(
                    f"evaluate.{key}.{name} is for a suite that is not asked for: evaluate.suites has {asked}"
                )
    return open_named(config, config.suites, "evaluate.suites")


def measure_suites(
    recipe: Recipe,
    config: EvaluateConfig,
    suites: Sequence[SuiteData],
    opened: ClusterInfo | None = None,
) -> list[SuiteReport]:
    """Rewards of all rows, and what they are worth; keeps the rewards of each suite beside the report.

    Args:
        config: the recipe's, with absolute paths.
        opened: the cluster, or the share of it, that a larger job has for this.

    Raises:
        UserError: a picture is not there, or given rewards are not those of the rows.
        RunError: a reward is not finite, or a scoring process died; what is done is kept.
    """
    if config.rewards is not None:
        given = read_given(config.rewards, suites)
    else:
        urls = _score(recipe, config, suites, opened)
        given = {data.suite.name: _finite(read_given(urls[data.suite.name], [data]), data) for data in suites}
    resampling = Resampling(confidence=config.confidence, samples=config.bootstrap_samples, seed=config.seed)
    reports = []
    for data in suites:
        rows = given[data.suite.name]
        write_scored(storage.join(config.output, SUITES_FOLDER, data.suite.name, SCORED_FILE), scored_of(data, rows))
        reports.append(measure(data, rows, resampling))
    return reports


def _finite(given: dict[str, list[GivenRewards]], data: SuiteData) -> list[GivenRewards]:
    """The rows, if the model gives all of them numbers that can be ranked."""
    rows = given[data.suite.name]
    for index, one in enumerate(rows):
        if one.error.startswith("not_finite"):
            raise RunError(
                f"row {index} of {data.suite.name}: {one.error}; check the loss, or take an earlier checkpoint"
            )
    return rows


def _score(
    recipe: Recipe,
    config: EvaluateConfig,
    suites: Sequence[SuiteData],
    opened: ClusterInfo | None,
) -> dict[str, str]:
    """Score what is not scored yet; the files of lines, by the suite's name."""
    copy = local_model(config.model)
    recipe = reading_as(recipe, copy, f"evaluate.model={recipe.evaluate.model!r}")
    urls = {data.suite.name: storage.join(config.output, SUITES_FOLDER, f"{data.suite.name}.jsonl") for data in suites}
    folders = [PartsFolder(urls[data.suite.name], _job(recipe, data, copy)) for data in suites]
    left = [(data, folder) for data, folder in zip(suites, folders, strict=True) if folder.finished() is None]
    if not left:
        say("the suites are scored already")
        return urls
    encoder = Encoder(load_tokenizer(copy), recipe.preprocess.encode)
    job = ScoringJob(
        model=config.model,
        token_budget=config.token_budget,
        patch_budget=config.patch_budget,
        attention=config.attention,
    )
    with open_cluster(recipe.cluster, opened=opened) as cluster:
        for data, folder in left:
            reader = SuiteReader(
                data, encoder, recipe.preprocess.media, recipe.preprocess.rules.max_tokens,
                without_pictures=config.missing_pictures == "without",
            )  # fmt: skip
            _score_suite(data, reader, folder, job, cluster)
    return urls


def _score_suite(
    data: SuiteData,
    reader: SuiteReader,
    folder: PartsFolder,
    job: ScoringJob,
    cluster: ClusterInfo,
) -> None:
    total = len(data.items)
    parts = [RowRange(start, min(LINES_A_PART, total - start)) for start in range(0, total, LINES_A_PART)]
    done = folder.open()
    missing = [part for part in parts if part.start not in done]
    already = total - sum(part.count for part in missing)

    def scored(given: Any) -> Iterator[Any]:
        chunks = -(-(total - already) // CHUNK_LINES)
        return scored_chunks(job, cluster, given, num_chunks=chunks)

    if missing:
        with progress(f"score {data.suite.title}", total, already) as advance:
            score_parts(folder, chunks_of(missing, reader), scored, lambda lines: advance(already + lines, ""))
    folder.publish(parts)


def _job(recipe: Recipe, data: SuiteData, model: str) -> dict[str, Any]:
    """Everything that decides the lines."""
    return {
        "format": _FORMAT,
        "suite": data.suite.name,
        "files": [storage.sha256_of(url) for url in data.files],
        "media_root": data.media_root,
        "missing_pictures": recipe.evaluate.missing_pictures,
        "model": marker_sha256(model),
        "encode": asdict(recipe.preprocess.encode),
        "media": asdict(recipe.preprocess.media),
        "max_tokens": recipe.preprocess.rules.max_tokens,
    }
