"""Published benchmarks scored by a model, or by rewards that are given: read -> score -> measure.

    evaluate.suites --open_suites--> SuiteData, counts checked, before anything is scored
      -> suites/NAME.jsonl   a line a row, scored as `score` does: in chunks, by parts that a killed run goes on from
     NAME.PROBE.jsonl    the same with a change (``evaluate.diagnostics``)
  -> SuiteResult         its report by `rm_core.evaluation.suites`, and the worst failures with their pictures

A judge (`evaluate.judge`) gives the lines in place of a model: `judge`.

Every row is scored once, whatever the number of workers: chunks are cut by the rows, not by who takes them. The lines
are also what ``evaluate.rewards`` reads.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from data_pipeline import storage
from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import RecipeError, RunError
from data_pipeline.inspection.samples import Sample
from data_pipeline.sources.readers.files import RowRange
from jobs.evaluate.judge import judge_suite
from jobs.evaluate.prepare import reading_as
from jobs.evaluate.score import CHUNK_LINES, LINES_A_PART, chunks_of, score_parts
from jobs.evaluate.score_parts import PartsFolder
from jobs.evaluate.scoring_actors import ScoringPool
from jobs.evaluate.writing import job_of_writing
from jobs.pages.failure_views import NUM_FAILURES
from jobs.recipe.schema import EvaluateConfig, Recipe
from jobs.recipe.suites import open_named
from jobs.runtime.terminal import progress, say
from rm_core.evaluation.diagnostics.probes import Probed
from rm_core.evaluation.diagnostics.rows import read_probed
from rm_core.evaluation.failures import Failure, worst_failures
from rm_core.evaluation.intervals import Resampling
from rm_core.evaluation.judge.kept import JudgeCounts
from rm_core.evaluation.names import PICTURE_PROBES
from rm_core.evaluation.suites.files import SuiteData
from rm_core.evaluation.suites.given import GivenRewards, read_given
from rm_core.evaluation.suites.lines import SuiteReader
from rm_core.evaluation.suites.report import SuiteReport, measure, scored_of
from rm_core.evaluation.suites.samples import suite_samples
from rm_core.model_folder.folder import marker_sha256
from rm_core.model_folder.remote import local_model
from rm_core.scoring.scored_file import SCORED_FILE, write_scored

__all__ = ["SUITES_FOLDER", "SuiteResult", "finite_rows", "measure_suites", "open_suites", "score_suites"]

SUITES_FOLDER = "suites"
"""Below ``evaluate.output``."""
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class SuiteResult:
    """What is known of a suite."""

    report: SuiteReport
    failures: Sequence[Failure]
    """The worst ones."""
    samples: Sequence[Sample]
    """Texts and pictures of each of them."""
    judged: JudgeCounts | None
    """What asking the judge came to, where one gave the rewards."""


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
    recipe: Recipe, config: EvaluateConfig, suites: Sequence[SuiteData], pool: ScoringPool
) -> list[SuiteResult]:
    """Rewards of all rows, and what they are worth; keeps the rewards of each suite beside the report.

    Args:
        config: the recipe's, with absolute paths.
        pool: the model, not asked for rewards that are given, judged or scored already.

    Raises:
        UserError: a picture is not there, or given rewards are not those of the rows.
        RunError: a reward is not finite, a scoring process died, or the judge gives no answer; what is done is kept.
    """
    judged: dict[str, JudgeCounts] = {}
    probed: dict[str, dict[str, list[Probed]]] = {data.suite.name: {} for data in suites}
    if config.rewards is not None:
        given = read_given(config.rewards, suites)
    elif config.judge.url is not None:
        judged = {data.suite.name: judge_suite(recipe, config, data, _url(config, data, None)) for data in suites}
        given = {data.suite.name: read_given(_url(config, data, None), [data])[data.suite.name] for data in suites}
    else:
        urls = score_suites(recipe, config, suites, pool)
        given = {data.suite.name: finite_rows(read_given(urls[data.suite.name, None], [data]), data) for data in suites}
        for data in suites:
            for probe in _probes(config, data):
                found = read_probed(urls[data.suite.name, probe], probe, len(data.items))
                probed[data.suite.name][probe] = found
    resampling = Resampling(confidence=config.confidence, samples=config.bootstrap_samples, seed=config.seed)
    results = []
    for data in suites:
        name = data.suite.name
        scored = scored_of(data, given[name])
        write_scored(storage.join(config.output, SUITES_FOLDER, name, SCORED_FILE), scored)
        with_rewards = [place for place, one in enumerate(given[name]) if one.rewards is not None]
        failures = worst_failures(scored, NUM_FAILURES)
        places = [with_rewards[one.place] for one in failures]
        result = SuiteResult(
            report=measure(data, given[name], resampling, probed[name]),
            failures=failures,
            samples=suite_samples(data, recipe.preprocess.media, places),
            judged=judged.get(name),
        )
        results.append(result)
    return results


def _probes(config: EvaluateConfig, data: SuiteData) -> list[str]:
    """The probes of a suite: of pictures only where it has any."""
    has_pictures = any(item.num_media for item in data.items)
    return [name for name in dict.fromkeys(config.diagnostics) if has_pictures or name not in PICTURE_PROBES]


def finite_rows(given: dict[str, list[GivenRewards]], data: SuiteData) -> list[GivenRewards]:
    """The rows of the suite, if the model gives all of them numbers that can be ranked.

    Raises:
        RunError: a reward is not finite; names the row.
    """
    rows = given[data.suite.name]
    for index, one in enumerate(rows):
        if one.error.startswith("not_finite"):
            raise RunError(
                f"row {index} of {data.suite.name}: {one.error}; check the loss, or take an earlier checkpoint"
            )
    return rows


def score_suites(
    recipe: Recipe, config: EvaluateConfig, suites: Sequence[SuiteData], pool: ScoringPool
) -> dict[tuple[str, str | None], str]:
    """Score what is not scored yet; the files of lines, by the names of suite and probe (None: unchanged).

    Raises:
        UserError: a picture is not there, or the recipe reads records otherwise than the model.
        RunError: a scoring process died; what is done is kept.
    """
    copy = local_model(config.model)
    recipe = reading_as(recipe, copy, f"evaluate.model={recipe.evaluate.model!r}")
    asked = [(data, probe) for data in suites for probe in (None, *_probes(config, data))]
    urls = {(data.suite.name, probe): _url(config, data, probe) for data, probe in asked}
    folders = [PartsFolder(_url(config, data, probe), _job(recipe, data, copy, probe)) for data, probe in asked]
    left = [(*one, folder) for one, folder in zip(asked, folders, strict=True) if folder.finished() is None]
    if not left:
        say("the suites are scored already")
        return urls
    encoder = Encoder(load_tokenizer(copy), recipe.preprocess.encode)
    for data, probe, folder in left:
        reader = SuiteReader(
            data, encoder, recipe.preprocess.media, recipe.preprocess.rules.max_tokens,
            without_pictures=config.missing_pictures == "without", probe=probe, token_budget=config.token_budget,
        )  # fmt: skip
        _score_suite(data, reader, folder, pool, probe)
    return urls


def _url(config: EvaluateConfig, data: SuiteData, probe: str | None) -> str:
    name = f"{data.suite.name}.jsonl" if probe is None else f"{data.suite.name}.{probe}.jsonl"
    return storage.join(config.output, SUITES_FOLDER, name)


def _score_suite(
    data: SuiteData, reader: SuiteReader, folder: PartsFolder, pool: ScoringPool, probe: str | None
) -> None:
    total = len(data.items)
    parts = [RowRange(start, min(LINES_A_PART, total - start)) for start in range(0, total, LINES_A_PART)]
    done = folder.open()
    missing = [part for part in parts if part.start not in done]
    already = total - sum(part.count for part in missing)
    chunks = -(-(total - already) // CHUNK_LINES)
    if missing:
        title = f"score {data.suite.title}" + ("" if probe is None else f", {probe.replace('_', ' ')}")
        with progress(title, total, already) as advance:
            score_parts(
                folder,
                chunks_of(missing, reader),
                lambda given: pool.comparisons(given, num_chunks=chunks),
                lambda lines: advance(already + lines, ""),
            )
    folder.publish(parts)


def _job(recipe: Recipe, data: SuiteData, model: str, probe: str | None) -> dict[str, Any]:
    """Everything that decides the lines."""
    config = recipe.evaluate
    of_probe = {} if probe is None else {"probe": probe, "token_budget": config.token_budget}
    return {
        **of_probe,
        "format": _FORMAT,
        "suite": data.suite.name,
        "files": [storage.sha256_of(url) for url in data.files],
        "media_root": data.media_root,
        "missing_pictures": config.missing_pictures,
        "model": marker_sha256(model),
        "encode": asdict(recipe.preprocess.encode),
        "media": asdict(recipe.preprocess.media),
        "max_tokens": recipe.preprocess.rules.max_tokens,
        **job_of_writing(config.critiques, config.verdicts),
    }
