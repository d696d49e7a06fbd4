"""`basereward write-reasonings`: a language model says why one answer of each pair is better.

    a source's records -> Comparisons --`judge_items`, each once--> a part a Comparison -> OUTPUT/NAME.jsonl

A killed command goes on by the same command: what is answered is kept. Nothing is made up: a pair about which no text
agrees with the record stays without a reasoning, and preprocessing refuses its record as ``missing_reasoning``.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from data_pipeline import storage
from data_pipeline.config import SourceConfig
from data_pipeline.errors import MissingInput, RecipeError, RecordError
from data_pipeline.media import load_image
from data_pipeline.records.checks import check
from data_pipeline.records.comparison import MediaRef
from data_pipeline.sources.generic_record import record_of
from data_pipeline.sources.inputs import comparisons_of, inputs_of, media_root_of
from data_pipeline.sources.readers.files import read_rows
from jobs.evaluate.judging import How, judge_items
from jobs.evaluate.score_parts import PartsFolder, Tally
from jobs.recipe.judge import REASONER, check_reasoner
from jobs.recipe.schema import Recipe
from jobs.runtime.leases import writes
from jobs.runtime.terminal import say, table
from rm_core.evaluation.judge.endpoint_config import OF_HOW, key_of
from rm_core.evaluation.judge.questions import Asked
from rm_core.evaluation.judge.reasonings import labelled_orders, reasoned_line

__all__ = ["run"]

_HOW = How(orders=labelled_orders, line=reasoned_line, section=REASONER)
_FORMAT = 1


@writes("reasonings.output")
def run(recipe: Recipe) -> None:
    """Write the records of each source with reasonings below `recipe.reasonings.output`.

    Raises:
        UserError: no source is named or its files are not there, or the model can't be asked.
        BaserewardError: it gives no answer; what is done is kept.
    """
    config = recipe.reasonings
    check_reasoner(config.judge)
    key = key_of(config.judge, REASONER)
    sources = recipe.preprocess.sources
    names = config.sources or [source.name for source in sources]
    if unknown := sorted(set(names) - {source.name for source in sources}):
        raise RecipeError(f"reasonings.sources names {unknown[0]!r}, which is no source of preprocess.sources")
    if not names:
        raise MissingInput("preprocess.sources is empty: name the records that are to be written about")
    for source in sources:
        if source.name in names:
            _write_source(recipe, source, key)


def _write_source(recipe: Recipe, source: SourceConfig, key: str | None) -> None:
    config, root = recipe.reasonings, _media_root(source, recipe.preprocess.data_root)
    url = storage.join(storage.absolute(config.output), f"{source.name}.jsonl")
    total = sum(1 for _ in comparisons_of(source, recipe.preprocess.data_root))
    files = [storage.sha256_of(file.url) for file in inputs_of(source, recipe.preprocess.data_root)]
    job = {
        "format": _FORMAT, "files": files, "source": asdict(source), "media": asdict(recipe.preprocess.media),
        "judge": {name: value for name, value in asdict(config.judge).items() if name not in OF_HOW},
    }  # fmt: skip
    tally = judge_items(
        f"write about {source.name}",
        total,
        lambda places: _items(recipe, source, root, places),
        PartsFolder(url, job),
        config.judge,
        key,
        _HOW,
    )
    _show(url, source.name, root, tally)


def _media_root(source: SourceConfig, data_root: str) -> str:
    """The one folder that the paths of a source's pictures start from, which the written records say too.

    Raises:
        RecipeError: its files start from several.
    """
    roots = {media_root_of(file, source, data_root) for file in inputs_of(source, data_root)}
    if len(roots) > 1:
        raise RecipeError(
            f"the files of source {source.name!r} lie in {len(roots)} folders, and what is written is one file: set "
            "media_root of the source, or name a source for each folder"
        )
    return roots.pop()


def _items(recipe: Recipe, source: SourceConfig, root: str, places: Sequence[int]) -> Iterator[Asked]:
    """The Comparisons at `places`, with their pictures; one that can't be asked about says why."""
    wanted = set(places)
    for place, comparison in enumerate(comparisons_of(source, recipe.preprocess.data_root)):
        if place not in wanted:
            continue
        fields: dict[str, Any] = {"id": comparison.id}
        pictures: tuple[tuple[bytes, ...], ...] = ()
        failure = None
        try:
            fields = record_of(comparison)
            check(comparison)
            pictures = tuple(_files(ref, root, recipe) for ref in comparison.media)
        except RecordError as refusal:
            failure = str(refusal)
        yield Asked(place=place, fields=fields, comparison=comparison, pictures=pictures, failure=failure)


def _files(ref: MediaRef, root: str, recipe: Recipe) -> tuple[bytes, ...]:
    return (load_image(ref, root, recipe.preprocess.media).data,)


def _show(url: str, name: str, root: str, tally: Tally) -> None:
    """What became of the texts, what they cost, and how preprocessing finds them."""
    sums: Counter[str] = Counter()
    num_reasonings = 0
    for _, record in read_rows(url):
        if isinstance(record, Mapping):
            sums.update({key: count for key, count in record["reasonings_by"].items() if key != "error"})
            num_reasonings += len(record["reasonings"])
    missing = sum(tally.not_scored.values())
    rows = [
        ("Comparisons", f"{tally.lines:,}, of which {missing:,} lack a reasoning"),
        *((f"  {reason}", f"{count:,}") for reason, count in tally.not_scored.items()),
        ("reasonings", f"{num_reasonings:,}"),
        ("texts that disagreed with the record", f"{sums['disagreed']:,}; none was taken"),
        ("texts without a verdict or a reason", f"{sums['unread']:,}; none was taken"),
        ("tokens", f"{sums['tokens_read']:,} read, {sums['tokens_written']:,} written"),
        *((f"tries without an answer: {kind}", f"{count:,}") for kind, count in tally.repeated.items()),
    ]
    if sums["unmetered"]:
        rows.append(("texts whose tokens the server did not count", f"{sums['unmetered']:,}"))
    table(f"Reasonings about {name}", rows)
    say(f"a source of them: {{name: {name}, path: {url}, media_root: {root}}} with preprocess.encode.reasonings=given")
